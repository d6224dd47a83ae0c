//! Writes a payload as JSON, and rejects NaN and infinity in it. It does not know the envelope.
//!
//! JSON has no such numbers, so `serde_json` writes `null` for them. A `null` is also the text of
//! `None`. So a payload with a `null` in its text is serialized once more, by a serializer that
//! writes nothing and knows the place of each number.
use serde::{Serialize, ser};
use serde_json::{Value, ser::Formatter};
use std::{error::Error, fmt, io};

/// Appends the payload.
pub(super) fn write<T: Serialize + ?Sized>(buffer: &mut Vec<u8>, data: &T) -> serde_json::Result<()> {
    let mut has_null = false;
    data.serialize(&mut serde_json::Serializer::with_formatter(buffer, NoticesNull(&mut has_null)))?;
    if has_null {
        // An error of the type's own is not an error here, because its JSON is complete.
        if let Err(NotFinite(Some(number))) = data.serialize(Finite) {
            return Err(ser::Error::custom(number));
        }
    }
    Ok(())
}

/// Writes as `serde_json` does, and notices a `null`.
struct NoticesNull<'a>(&'a mut bool);

impl Formatter for NoticesNull<'_> {
    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        *self.0 = true;
        writer.write_all(b"null")
    }
}

/// A number that JSON cannot carry.
#[derive(Debug)]
struct Number {
    is_nan: bool,
    /// Its place in the data, for example `.sensors[2].celsius`. It is empty for the data itself.
    path: String,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.path {
            "" => f.write_str("the data")?,
            path => write!(f, "`{}`", path.strip_prefix('.').unwrap_or(path))?,
        }
        let number = if self.is_nan { "NaN" } else { "infinite" };
        write!(f, " is {number}, which JSON cannot carry: send an `Option` that is `None` if there is no value")
    }
}

/// The number that was found, or nothing for an error of a type's own `Serialize`.
#[derive(Debug)]
struct NotFinite(Option<Box<Number>>);

impl NotFinite {
    #[cold]
    fn number(is_nan: bool) -> Self {
        Self(Some(Box::new(Number { is_nan, path: String::new() })))
    }

    /// Adds the place of the value that has the number.
    #[cold]
    fn within(mut self, place: impl fmt::Display) -> Self {
        if let Some(number) = &mut self.0 {
            number.path.insert_str(0, &place.to_string());
        }
        self
    }

    /// Adds the name of a field, a key or a variant.
    fn named(self, name: &str) -> Self {
        self.within(format_args!(".{name}"))
    }
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number is not finite")
    }
}

impl Error for NotFinite {}

impl ser::Error for NotFinite {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(None)
    }
}

/// A serializer that writes nothing, and fails at the first number that is not finite.
struct Finite;

/// The parts of a value: elements, fields, or entries.
struct Parts {
    /// The variant that has the parts, if its name is in the JSON.
    variant: Option<&'static str>,
    /// The number of elements before.
    at: usize,
    /// The key of the next value, if it was serialized apart from its value.
    key: String,
}

impl Parts {
    const NEW: Self = Self { variant: None, at: 0, key: String::new() };

    fn of(variant: &'static str) -> Self {
        Self { variant: Some(variant), ..Self::NEW }
    }

    fn outside(&self, error: NotFinite) -> NotFinite {
        match self.variant {
            Some(variant) => error.named(variant),
            None => error,
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotFinite> {
        let at = self.at;
        self.at += 1;
        value.serialize(Finite).map_err(|error| self.outside(error.within(format_args!("[{at}]"))))
    }

    fn field<T: Serialize + ?Sized>(&self, name: &'static str, value: &T) -> Result<(), NotFinite> {
        value.serialize(Finite).map_err(|error| self.outside(error.named(name)))
    }
}

/// Returns the text of a key. A key that is not a string is in quotes in the JSON.
fn text<K: Serialize + ?Sized>(key: &K) -> String {
    match serde_json::to_value(key) {
        Ok(Value::String(text)) => text,
        Ok(key) => key.to_string(),
        Err(_) => String::new(),
    }
}

/// Methods for values in which there is nothing to check.
macro_rules! finite {
    ($($method:ident($($type:ty),*);)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<(), NotFinite> {
            Ok(())
        }
    )*};
}

impl ser::Serializer for Finite {
    type Ok = ();
    type Error = NotFinite;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    fn serialize_f32(self, number: f32) -> Result<(), NotFinite> {
        if number.is_finite() { Ok(()) } else { Err(NotFinite::number(number.is_nan())) }
    }

    fn serialize_f64(self, number: f64) -> Result<(), NotFinite> {
        if number.is_finite() { Ok(()) } else { Err(NotFinite::number(number.is_nan())) }
    }

    finite! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), NotFinite> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NotFinite> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), NotFinite> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), NotFinite> {
        value.serialize(self).map_err(|error| error.named(variant))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, NotFinite> {
        Ok(Parts::NEW)
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, NotFinite> {
        Ok(Parts::NEW)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, NotFinite> {
        Ok(Parts::NEW)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, NotFinite> {
        Ok(Parts::of(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, NotFinite> {
        Ok(Parts::NEW)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, NotFinite> {
        Ok(Parts::NEW)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, NotFinite> {
        Ok(Parts::of(variant))
    }
}

/// The kinds of values that have elements.
macro_rules! elements {
    ($($kind:ident::$method:ident),*) => {$(
        impl ser::$kind for Parts {
            type Ok = ();
            type Error = NotFinite;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotFinite> {
                self.element(value)
            }

            fn end(self) -> Result<(), NotFinite> {
                Ok(())
            }
        }
    )*};
}
elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

/// The kinds of values that have fields.
macro_rules! fields {
    ($($kind:ident),*) => {$(
        impl ser::$kind for Parts {
            type Ok = ();
            type Error = NotFinite;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), NotFinite> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), NotFinite> {
                Ok(())
            }
        }
    )*};
}
fields!(SerializeStruct, SerializeStructVariant);

/// A key is not checked: `serde_json` has written it, and rejects a key that is not finite.
impl ser::SerializeMap for Parts {
    type Ok = ();
    type Error = NotFinite;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), NotFinite> {
        self.key = text(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotFinite> {
        value.serialize(Finite).map_err(|error| error.named(&self.key))
    }

    fn serialize_entry<K: Serialize + ?Sized, T: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &T,
    ) -> Result<(), NotFinite> {
        value.serialize(Finite).map_err(|error| error.named(&text(key)))
    }

    fn end(self) -> Result<(), NotFinite> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serializer;
    use std::collections::BTreeMap;

    /// Returns the JSON, or the text of the error.
    fn written<T: Serialize>(data: T) -> String {
        let mut buffer = Vec::new();
        match write(&mut buffer, &data) {
            Ok(()) => String::from_utf8(buffer).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    /// Returns the place and the kind of the number in the error.
    fn found<T: Serialize>(data: T) -> String {
        let text = written(data);
        let (found, advice) = text.split_once(", which JSON cannot carry").unwrap_or_else(|| panic!("{text}"));
        assert_eq!(advice, ": send an `Option` that is `None` if there is no value");
        found.to_owned()
    }

    #[derive(Serialize)]
    struct Reading {
        celsius: f64,
        volts: Option<f32>,
    }

    #[derive(Serialize)]
    struct Flat {
        device: &'static str,
        #[serde(flatten)]
        reading: Reading,
        #[serde(flatten)]
        rest: BTreeMap<&'static str, f64>,
    }

    #[derive(Serialize)]
    enum Plain {
        Struct { celsius: f64 },
        Tuple(u8, f64),
        Newtype(f64),
    }
    #[derive(Serialize)]
    #[serde(tag = "kind")]
    enum Internal {
        Struct { celsius: f64 },
        Newtype(Reading),
    }
    #[derive(Serialize)]
    #[serde(tag = "kind", content = "content")]
    enum Adjacent {
        Tuple(u8, f64),
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Untagged {
        Newtype(f64),
    }
    #[derive(Serialize)]
    struct Newtype(f64);
    #[derive(Serialize)]
    struct Tuple(u8, f64);

    /// Row E5: the error names the place, in every kind of value that serde has.
    #[test]
    fn a_number_that_json_cannot_carry_is_found_wherever_it_is() {
        let reading = |celsius| Reading { celsius, volts: None };
        assert_eq!(found(f64::NAN), "the data is NaN");
        assert_eq!(found(f32::NEG_INFINITY), "the data is infinite");
        assert_eq!(found(reading(f64::INFINITY)), "`celsius` is infinite");
        assert_eq!(found(Reading { celsius: 1.0, volts: Some(f32::NAN) }), "`volts` is NaN");
        assert_eq!(found([[1.0], [f64::NAN]]), "`[1][0]` is NaN");
        assert_eq!(
            found(BTreeMap::from([("sensors", vec![reading(1.0), reading(f64::NAN)])])),
            "`sensors[1].celsius` is NaN"
        );
        assert_eq!(found(BTreeMap::from([(7, (None::<u8>, f64::NAN))])), "`7[1]` is NaN");
        assert_eq!(found(Newtype(f64::NAN)), "the data is NaN");
        assert_eq!(found(Tuple(1, f64::NAN)), "`[1]` is NaN");
        assert_eq!(found(Plain::Struct { celsius: f64::NAN }), "`Struct.celsius` is NaN");
        assert_eq!(found(Plain::Tuple(1, f64::NAN)), "`Tuple[1]` is NaN");
        assert_eq!(found(Plain::Newtype(f64::NAN)), "`Newtype` is NaN");
        assert_eq!(found([Internal::Struct { celsius: f64::NAN }]), "`[0].celsius` is NaN");
        assert_eq!(found(Internal::Newtype(reading(f64::NAN))), "`celsius` is NaN");
        assert_eq!(found(Adjacent::Tuple(1, f64::NAN)), "`content[1]` is NaN");
        assert_eq!(found([Untagged::Newtype(f64::NAN)]), "`[0]` is NaN");
        let flat =
            |celsius, rest| Flat { device: "box-7", reading: reading(celsius), rest: BTreeMap::from([("rest", rest)]) };
        assert_eq!(found(flat(f64::NAN, 1.0)), "`celsius` is NaN");
        assert_eq!(found(flat(1.0, f64::NAN)), "`rest` is NaN");
        assert_eq!(written(flat(1.0, 2.0)), r#"{"device":"box-7","celsius":1.0,"volts":null,"rest":2.0}"#);
    }

    /// A type that can be serialized once.
    struct Once(std::cell::Cell<bool>);
    impl Serialize for Once {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0.replace(true) {
                return Err(ser::Error::custom("serialized already"));
            }
            serializer.serialize_str("once")
        }
    }

    /// Row E5: a `null` that is not a number is sent, whatever stands beside it.
    #[test]
    fn a_null_is_not_an_error() {
        assert_eq!(written(None::<f64>), "null");
        assert_eq!(written(((), Value::Null, "null", 1.5)), r#"[null,null,"null",1.5]"#);
        let raw = serde_json::value::RawValue::from_string("[null]".into()).unwrap();
        assert_eq!(written((None::<u8>, raw)), "[null,[null]]");
        assert_eq!(written((None::<u8>, Once(false.into()))), r#"[null,"once"]"#);
    }
}
