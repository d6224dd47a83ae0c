//! The shape of JSON: what a type writes, or what it reads. It does not know where it comes from.
use std::{collections::BTreeMap, fmt};

/// What a value of JSON may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) enum Shape {
    /// Any JSON.
    Any,
    Null,
    Bool,
    Integer(Range),
    /// A number with a fraction. JSON does not know how exact it is.
    Float,
    /// A text, in a format such as `date-time` if the reader expects one.
    Text(Option<String>),
    /// A text of one character.
    Char,
    /// This value alone, as JSON.
    Constant(String),
    List(Box<Self>, Length),
    Tuple(Vec<Self>),
    Map(Keys, Box<Self>),
    Object(Object),
    /// One of these. A reader without a tag takes the first that fits.
    OneOf(Vec<Self>),
    /// A type that has itself inside.
    Named(String),
}

/// The lowest and the highest integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::contract) struct Range {
    pub(in crate::contract) least: i128,
    pub(in crate::contract) most: i128,
}

/// How many elements a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::contract) struct Length {
    pub(in crate::contract) least: u64,
    pub(in crate::contract) most: Option<u64>,
}

/// What the keys of a map are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::contract) enum Keys {
    Text,
    /// An integer without a sign, which JSON has as a text.
    Unsigned,
    /// An integer, which may have a sign.
    Signed,
}

impl Keys {
    /// Whether every key is also one of the other.
    pub(in crate::contract) fn is_within(self, other: Self) -> bool {
        self == other || other == Self::Text || (self, other) == (Self::Unsigned, Self::Signed)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::contract) struct Object {
    pub(in crate::contract) fields: BTreeMap<String, Field>,
    pub(in crate::contract) rest: Rest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) struct Field {
    pub(in crate::contract) shape: Shape,
    /// Whether the field may be missing.
    pub(in crate::contract) is_optional: bool,
}

/// The fields of an object that it does not name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::contract) enum Rest {
    /// A reader ignores them.
    #[default]
    Ignored,
    /// A reader rejects them.
    Rejected,
    /// They are the entries of a map.
    Entries(Box<Shape>),
}

/// The types that have themselves inside, by name.
pub(in crate::contract) type Types = BTreeMap<String, Shape>;

/// The integers of Rust, from the narrowest to the widest.
const WIDTHS: [(&str, i128, i128); 10] = [
    ("u8", 0, u8::MAX as i128),
    ("i8", i8::MIN as i128, i8::MAX as i128),
    ("u16", 0, u16::MAX as i128),
    ("i16", i16::MIN as i128, i16::MAX as i128),
    ("u32", 0, u32::MAX as i128),
    ("i32", i32::MIN as i128, i32::MAX as i128),
    ("u64", 0, u64::MAX as i128),
    ("i64", i64::MIN as i128, i64::MAX as i128),
    // Half of its range: no JSON of a program has more digits.
    ("u128", 0, i128::MAX),
    ("i128", i128::MIN, i128::MAX),
];

impl Range {
    /// Returns the range of a type of Rust.
    pub(in crate::contract) fn of(name: &str) -> Option<Self> {
        let (_, least, most) = WIDTHS.into_iter().find(|(own, ..)| *own == name)?;
        Some(Self { least, most })
    }

    /// Whether every integer of this range is in the other one.
    pub(in crate::contract) fn is_within(self, other: Self) -> bool {
        other.least <= self.least && self.most <= other.most
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WIDTHS.into_iter().find(|&(_, least, most)| (least, most) == (self.least, self.most)) {
            Some((name, ..)) => f.write_str(name),
            None => write!(f, "{}..{}", self.least, self.most),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "strings",
            Self::Unsigned => "integers without a sign",
            Self::Signed => "integers",
        })
    }
}

impl Length {
    /// Whether every length is also one of the other.
    pub(in crate::contract) fn is_within(self, other: Self) -> bool {
        let fits = |most| self.most.is_some_and(|own| own <= most);
        other.least <= self.least && other.most.is_none_or(fits)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.least)?;
        self.most.map_or(Ok(()), |most| write!(f, "{most}"))
    }
}

impl Shape {
    /// Returns one of these shapes. Shapes that are equal count once.
    pub(in crate::contract) fn one_of(shapes: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::<Self>::new();
        for shape in shapes {
            let parts = match shape {
                Self::OneOf(parts) => parts,
                one => vec![one],
            };
            for part in parts {
                if !all.contains(&part) {
                    all.push(part);
                }
            }
        }
        match all.len() {
            1 => all.remove(0),
            _ => Self::OneOf(all),
        }
    }
}

impl Shape {
    /// Adds the names of the types that it refers to.
    pub(in crate::contract) fn names<'s>(&'s self, to: &mut Vec<&'s str>) {
        match self {
            Self::Named(name) => to.push(name),
            Self::List(item, _) => item.names(to),
            Self::Map(_, values) => values.names(to),
            Self::Tuple(all) | Self::OneOf(all) => all.iter().for_each(|one| one.names(to)),
            Self::Object(Object { fields, rest }) => {
                fields.values().for_each(|field| field.shape.names(to));
                if let Rest::Entries(entries) = rest {
                    entries.names(to);
                }
            }
            _ => {}
        }
    }
}

/// For a person: what the value is, without its parts.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any JSON"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Integer(range) => range.fmt(f),
            Self::Float => f.write_str("float"),
            Self::Text(None) => f.write_str("string"),
            Self::Text(Some(format)) => write!(f, "string ({format})"),
            Self::Char => f.write_str("char"),
            Self::Constant(json) => f.write_str(json),
            Self::List(item, _) => write!(f, "list of {item}"),
            Self::Tuple(items) => write!(f, "tuple of {}", items.len()),
            Self::Map(_, values) => write!(f, "map of {values}"),
            Self::Object(object) => match object.constant() {
                Some((field, json)) => write!(f, "object with {field} {json}"),
                None => f.write_str("object"),
            },
            Self::OneOf(all) => {
                for (at, one) in all.iter().enumerate() {
                    let comma = if at > 0 { " or " } else { "" };
                    write!(f, "{comma}{one}")?;
                }
                Ok(())
            }
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl Object {
    /// Returns the tag of a variant: the first field with a value of its own, or the only field.
    pub(in crate::contract) fn constant(&self) -> Option<(&str, String)> {
        let tag = self.fields.iter().find_map(|(name, field)| match &field.shape {
            Shape::Constant(json) => Some((&**name, json.clone())),
            _ => None,
        });
        let only = || {
            let (name, field) = self.fields.first_key_value()?;
            let is_variant = self.fields.len() == 1 && !field.is_optional && self.rest == Rest::Rejected;
            is_variant.then(|| (&**name, "alone".to_owned()))
        };
        tag.or_else(only)
    }
}
