//! How the messages of a type are sent: the options `delivery`, `ttl`, `key`, `full`, `always` and
//! `compress`. It does not know what the library does with them.
use crate::shared::{Errors, once};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Data, DataStruct, DeriveInput, Expr, Fields, FieldsNamed, LitStr, Path, Token, ext::IdentExt, meta::ParseNestedMeta,
};

/// Maximum time to live.
const MAX_MS: u64 = 365 * 86_400_000;
/// The units of a time to live. `ms` is before `s`, which also ends it.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// The error about another text.
const FORM: &str = "a ttl is a text of a number and `ms`, `s`, `m`, `h` or `d`, as in `ttl = \"90s\"`";

/// The options as they are written.
#[derive(Default)]
pub(super) struct Declared {
    delivery: Option<Delivery>,
    /// The option, and its milliseconds if its text is without a mistake.
    ttl: Option<(Path, Option<u64>)>,
    /// The option, and the field if it is a name.
    key: Option<(Path, Option<Ident>)>,
    /// The option, and whether the oldest message is dropped.
    full: Option<(Path, bool)>,
    always: bool,
    /// Whether `compress = never` is given.
    plain: bool,
    /// Collected here, so that an option after a mistake is read too.
    mistakes: Vec<syn::Error>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Delivery {
    AtLeastOnce,
    AtMostOnce,
    Latest,
    State,
    /// The name has a mistake, which is reported.
    Unknown,
}

impl Declared {
    /// Reads an option. Returns whether it is one of these.
    pub(super) fn read(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<bool> {
        let option = &meta.path;
        if option.is_ident("always") {
            if meta.input.peek(Token![=]) {
                let value: Expr = meta.value()?.parse()?;
                self.mistake(value, "`always` has no value: write `#[wsx(always)]`");
            } else if let Err(twice) = once(self.always, option) {
                self.mistakes.push(twice);
            }
            self.always = true;
            return Ok(true);
        }
        let given = [
            ("delivery", self.delivery.is_some()),
            ("ttl", self.ttl.is_some()),
            ("key", self.key.is_some()),
            ("full", self.full.is_some()),
            ("compress", self.plain),
        ];
        let Some((name, is_given)) = given.into_iter().find(|(name, _)| option.is_ident(name)) else {
            return Ok(false);
        };
        let value: Expr = meta.value()?.parse()?;
        if let Err(twice) = once(is_given, option) {
            self.mistakes.push(twice);
            return Ok(true);
        }
        match name {
            "delivery" => self.delivery = Some(self.delivery(&value)),
            "ttl" => self.ttl = Some((option.clone(), self.ttl(&value))),
            "key" => self.key = Some((option.clone(), self.key(&value))),
            "compress" => self.compress(&value),
            _ => self.full = Some((option.clone(), self.full(&value))),
        }
        Ok(true)
    }

    fn delivery(&mut self, value: &Expr) -> Delivery {
        match name(value).as_deref() {
            Some("at_least_once") => Delivery::AtLeastOnce,
            Some("at_most_once") => Delivery::AtMostOnce,
            Some("latest") => Delivery::Latest,
            Some("state") => Delivery::State,
            _ => {
                self.mistake(value, "a delivery is `at_most_once`, `at_least_once`, `latest` or `state`");
                Delivery::Unknown
            }
        }
    }

    fn ttl(&mut self, value: &Expr) -> Option<u64> {
        let text = match value {
            Expr::Lit(literal) => syn::parse2::<LitStr>(literal.to_token_stream()).ok(),
            _ => None,
        };
        let parsed = text.ok_or(FORM).and_then(|text| milliseconds(&text.value()));
        parsed.map_err(|why| self.mistake(value, why)).ok()
    }

    fn key(&mut self, value: &Expr) -> Option<Ident> {
        let field = match value {
            Expr::Path(path) => path.path.get_ident().cloned(),
            _ => None,
        };
        if field.is_none() {
            self.mistake(value, "a key is the name of a field, as in `key = device`");
        }
        field
    }

    fn compress(&mut self, value: &Expr) {
        if name(value).as_deref() != Some("never") {
            self.mistake(
                value,
                "`compress` can only be `never`: other messages are compressed if both ends agreed on it",
            );
        }
        self.plain = true;
    }

    fn full(&mut self, value: &Expr) -> bool {
        match name(value).as_deref() {
            Some("drop_oldest") => return true,
            Some("reject") => {}
            _ => self.mistake(value, "when the store is full, wsx can `reject` or `drop_oldest`"),
        }
        false
    }

    fn mistake(&mut self, tokens: impl ToTokens, message: &str) {
        self.mistakes.push(syn::Error::new_spanned(tokens, message));
    }

    /// Reports options that do not fit each other or the type.
    pub(super) fn check(&mut self, input: &DeriveInput, errors: &mut Errors) {
        self.mistakes.drain(..).for_each(|mistake| errors.push(mistake));
        let delivery = self.delivery.unwrap_or(Delivery::AtMostOnce);
        let is = |expected: Delivery| [expected, Delivery::Unknown].contains(&delivery);
        if let Some((option, _)) = self.ttl.as_ref().filter(|_| delivery == Delivery::State) {
            errors.at(option, "a state does not expire: remove `ttl`, or choose another delivery");
        }
        if let Some((option, _)) = self.full.as_ref().filter(|_| !is(Delivery::AtLeastOnce)) {
            errors.at(option, "`full` needs `delivery = at_least_once`: only such messages are dropped to make room");
        }
        match &self.key {
            Some((option, _)) if !is(Delivery::Latest) => {
                errors.at(option, "a key needs `delivery = latest`: the newest message of each key is kept");
            }
            Some((_, Some(field))) => check_field(input, field, errors),
            _ => {}
        }
    }

    /// Returns the items that the policy adds to the implementation of `Message`.
    pub(super) fn items(&self, input: &DeriveInput, p: &TokenStream) -> TokenStream {
        let delivery = match self.delivery {
            Some(Delivery::AtLeastOnce) => quote!(AtLeastOnce),
            Some(Delivery::Latest) => quote!(Latest),
            Some(Delivery::State) => quote!(State),
            None | Some(Delivery::AtMostOnce | Delivery::Unknown) => quote!(AtMostOnce),
        };
        let ttl = self.ttl.as_ref().and_then(|(_, milliseconds)| *milliseconds).map(|ttl| quote!(.with_ttl(#ttl)));
        let full = self.full.as_ref().filter(|(_, drops)| *drops).map(|_| quote!(.dropping_oldest()));
        let key = self.key.as_ref().and_then(|(_, field)| field.as_ref()).filter(|field| has_field(input, field));
        let always = self.always.then(|| quote!(.sent_always()));
        let plain = self.plain.then(|| quote!(.never_compressed()));
        if self.delivery.is_none() && ttl.is_none() && always.is_none() && plain.is_none() {
            return TokenStream::new();
        }
        let slot = key.map(|field| {
            let argument = quote_spanned!(field.span()=> &message.#field);
            quote! {
                fn slot(message: &Self) -> #p::Option<#p::String> {
                    #p::slot(#argument)
                }
            }
        });
        let key = key.map(|field| {
            let name = field.unraw().to_string();
            quote!(.with_key(#name))
        });
        quote! {
            const POLICY: #p::Policy = #p::Policy::of(#p::Delivery::#delivery) #ttl #key #full #always #plain;
            #slot
        }
    }

    /// Implements the traits of a message that is kept. A type whose delivery has a mistake has all
    /// of them, so that its uses are not errors too.
    pub(super) fn traits(&self, input: &DeriveInput, p: &TokenStream) -> TokenStream {
        let name = &input.ident;
        let (generics, arguments, bounds) = input.generics.split_for_impl();
        let implement = |traits: &[TokenStream]| {
            let each = traits.iter().map(|one| {
                quote! {
                    #[automatically_derived]
                    impl #generics #p::#one for #name #arguments #bounds {}
                }
            });
            each.collect::<TokenStream>()
        };
        let kept = [quote!(DeclaresKept), quote!(Kept)];
        let state = [quote!(DeclaresState), quote!(State)];
        match self.delivery {
            None | Some(Delivery::AtMostOnce) => TokenStream::new(),
            Some(Delivery::AtLeastOnce | Delivery::Latest) => implement(&kept),
            Some(Delivery::State | Delivery::Unknown) => implement(&[kept, state].concat()),
        }
    }
}

fn check_field(input: &DeriveInput, field: &Ident, errors: &mut Errors) {
    let name = &input.ident;
    match named_fields(input) {
        _ if matches!(input.data, Data::Union(_)) => {}
        Some(_) if has_field(input, field) => {}
        Some(_) => {
            errors.at(field, &format!("`{name}` has no field `{field}`: name the field that tells its messages apart"));
        }
        None => errors.at(field, &format!("`{name}` has no named fields: a key is a field of a struct")),
    }
}

fn has_field(input: &DeriveInput, field: &Ident) -> bool {
    named_fields(input).is_some_and(|fields| fields.named.iter().any(|own| own.ident.as_ref() == Some(field)))
}

fn named_fields(input: &DeriveInput) -> Option<&FieldsNamed> {
    match &input.data {
        Data::Struct(DataStruct { fields: Fields::Named(fields), .. }) => Some(fields),
        _ => None,
    }
}

/// The name that a value is.
fn name(value: &Expr) -> Option<String> {
    match value {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        _ => None,
    }
}

/// The milliseconds of a time to live, such as `90s`.
fn milliseconds(text: &str) -> Result<u64, &'static str> {
    let (digits, unit) =
        UNITS.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit))).ok_or(FORM)?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(FORM);
    }
    // A number that is too long for an integer is too long for a ttl.
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(0) => Err("a ttl of 0 expires every message: the shortest is `1ms`"),
        Some(milliseconds) if milliseconds <= MAX_MS => Ok(milliseconds),
        _ => Err("a ttl is at most `365d`: without one, a message does not expire"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared;

    #[test]
    fn a_ttl_is_a_whole_number_with_a_unit() {
        for (text, expected) in [
            ("1ms", Ok(1)),
            ("90s", Ok(90_000)),
            ("5m", Ok(300_000)),
            ("1h", Ok(3_600_000)),
            ("007d", Ok(604_800_000)),
            ("365d", Ok(MAX_MS)),
            ("31536000000ms", Ok(MAX_MS)),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        let too_long = ["366d", "31536000001ms", "8761h", "99999999999999999999s", "18446744073709551615d"];
        let zero = ["0s", "0ms", "000d"];
        let no_form = [
            "", "90", "s", "1w", "1 h", " 1h", "1h ", "1h30m", "1.5h", "-1s", "+1s", "1_000s", "1S", "1mss", "\u{661}s",
        ];
        for (texts, part) in [(&too_long[..], "at most `365d`"), (&zero, "ttl of 0"), (&no_form, "as in `ttl")] {
            for text in texts {
                assert!(milliseconds(text).unwrap_err().contains(part), "{text:?}");
            }
        }
    }

    /// Returns the errors of an item, and the policy that it declares.
    fn read(item: &str) -> (Vec<String>, String) {
        let input: DeriveInput = syn::parse_str(item).unwrap();
        let (mut declared, mut errors) = (Declared::default(), Errors::default());
        shared::options(&input.attrs, &mut errors, |meta| {
            assert!(declared.read(meta)?, "another option");
            Ok(())
        });
        declared.check(&input, &mut errors);
        let errors = errors.finish().map_or_else(String::new, |errors| errors.to_string());
        let errors = errors.split("compile_error ! { \"").skip(1);
        let items = declared.items(&input, &quote!(p)).to_string().replace(' ', "");
        let policy = items.split(';').next().unwrap_or_default().split("Policy=p::Policy::of").last();
        (
            errors.map(|error| error.split("\" }").next().unwrap().replace('\\', "")).collect(),
            policy.unwrap_or_default().replace("p::Delivery::", ""),
        )
    }

    #[test]
    fn the_options_are_read_in_any_order() {
        for (options, expected) in [
            ("", ""),
            ("#[wsx()]", ""),
            ("#[wsx(delivery = at_most_once)]", "(AtMostOnce)"),
            ("#[wsx(ttl = \"90s\")]", "(AtMostOnce).with_ttl(90000u64)"),
            ("#[wsx(ttl = \"1h\", delivery = at_least_once,)]", "(AtLeastOnce).with_ttl(3600000u64)"),
            ("#[wsx(full = reject)] #[wsx(delivery = at_least_once)]", "(AtLeastOnce)"),
            ("#[wsx(full = drop_oldest, delivery = at_least_once)]", "(AtLeastOnce).dropping_oldest()"),
            ("#[wsx(delivery = latest)]", "(Latest)"),
            ("#[wsx(key = a, ttl = \"1s\", delivery = latest)]", "(Latest).with_ttl(1000u64).with_key(\"a\")"),
            ("#[wsx(delivery = latest, key = r#type)]", "(Latest).with_key(\"type\")"),
            ("#[wsx(delivery = state)]", "(State)"),
            ("#[wsx(always)]", "(AtMostOnce).sent_always()"),
            ("#[wsx(always, delivery = latest)]", "(Latest).sent_always()"),
            ("#[wsx(compress = never)]", "(AtMostOnce).never_compressed()"),
            ("#[wsx(compress = never, delivery = state)]", "(State).never_compressed()"),
        ] {
            let (errors, policy) = read(&format!("{options} struct A {{ a: u8, r#type: u8 }}"));
            assert_eq!((errors, &*policy), (vec![], expected), "{options}");
        }
    }

    #[test]
    fn a_mistake_is_one_error_and_two_are_two() {
        let key_needs = "a key needs `delivery = latest`";
        let full_needs = "`full` needs `delivery = at_least_once`";
        for (options, expected) in [
            ("delivery = once", &["a delivery is"][..]),
            ("delivery = \"latest\"", &["a delivery is"]),
            ("delivery = Delivery::Latest", &["a delivery is"]),
            ("delivery = 1", &["a delivery is"]),
            ("delivery = once, key = a, ttl = \"1h\", full = reject", &["a delivery is"]),
            ("delivery = once, key = b", &["a delivery is", "`A` has no field `b`"]),
            ("delivery = latest, delivery = latest", &["`delivery` is given twice"]),
            ("ttl = \"1s\", ttl = \"2s\"", &["`ttl` is given twice"]),
            ("delivery = latest, key = a, key = a", &["`key` is given twice"]),
            ("delivery = at_least_once, full = reject, full = reject", &["`full` is given twice"]),
            ("ttl = soon", &["a ttl is a text"]),
            ("ttl = \"soon\", delivery = state", &["a ttl is a text", "a state does not expire"]),
            ("ttl = \"0s\"", &["a ttl of 0"]),
            ("delivery = state, ttl = \"1h\"", &["a state does not expire"]),
            ("key = a", &[key_needs]),
            ("delivery = at_most_once, key = a", &[key_needs]),
            ("delivery = state, key = no", &[key_needs]),
            ("delivery = latest, key = \"a\"", &["a key is the name of a field"]),
            ("delivery = latest, key = self.a", &["a key is the name of a field"]),
            ("delivery = latest, key = b", &["`A` has no field `b`"]),
            ("full = reject", &[full_needs]),
            ("delivery = latest, full = drop_oldest", &[full_needs]),
            ("delivery = state, full = reject", &[full_needs]),
            ("delivery = at_least_once, full = drop_newest", &["when the store is full"]),
            ("always, always", &["`always` is given twice"]),
            ("always = true", &["`always` has no value"]),
            ("compress = never, compress = never", &["`compress` is given twice"]),
            ("compress = always", &["`compress` can only be `never`"]),
            ("compress = \"never\"", &["`compress` can only be `never`"]),
            ("full = 1, key = a, ttl = \"1y\"", &["when the store is full", "a ttl is a text", full_needs, key_needs]),
        ] {
            let (errors, _) = read(&format!("#[wsx({options})] struct A {{ a: u8 }}"));
            assert_eq!(errors.len(), expected.len(), "{options}: {errors:?}");
            for (error, start) in errors.iter().zip(expected) {
                assert!(error.starts_with(start), "{options}: {error}");
            }
        }
    }

    #[test]
    fn a_key_is_a_named_field_of_a_struct() {
        for item in ["struct A(u8);", "struct A;", "enum A { B { a: u8 } }"] {
            let (errors, policy) = read(&format!("#[wsx(delivery = latest, key = a)] {item}"));
            assert_eq!(errors, ["`A` has no named fields: a key is a field of a struct"], "{item}");
            assert_eq!(policy, "(Latest)", "a mistake is not generated");
        }
    }
}
