//! How the messages of a type are delivered: the options `delivery`, `ttl`, `key` and `full`. It
//! does not know what the library does with them.
use crate::shared::{Errors, once};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Data, DataStruct, DeriveInput, Expr, Fields, LitStr, Path, ext::IdentExt, meta::ParseNestedMeta};

/// Maximum time to live.
const MAX_MS: u64 = 365 * 86_400_000;
/// The units of a time to live. `ms` is before `s`, which also ends it.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

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
        let given = [
            ("delivery", self.delivery.is_some()),
            ("ttl", self.ttl.is_some()),
            ("key", self.key.is_some()),
            ("full", self.full.is_some()),
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
            errors.at(option, "`full` needs `delivery = at_least_once`: other messages never fill the store");
        }
        match &self.key {
            Some((option, _)) if !is(Delivery::Latest) => {
                errors.at(option, "a key needs `delivery = latest`: the newest message of each key is kept");
            }
            Some((_, Some(field))) => check_field(input, field, errors),
            _ => {}
        }
    }

    /// What the implementation of `Message` has besides.
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
        if self.delivery.is_none() && ttl.is_none() {
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
            const POLICY: #p::Policy = #p::Policy::of(#p::Delivery::#delivery) #ttl #key #full;
            #slot
        }
    }

    /// The traits of a message that is kept. A type whose delivery has a mistake has all of them,
    /// so that its uses are not errors too.
    pub(super) fn traits(&self, input: &DeriveInput, p: &TokenStream) -> TokenStream {
        let name = &input.ident;
        let (generics, arguments, bounds) = input.generics.split_for_impl();
        let implement = |names: &[TokenStream]| quote!(#(#[automatically_derived] impl #generics #p::#names for #name #arguments #bounds {})*);
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
    match &input.data {
        Data::Struct(DataStruct { fields: Fields::Named(_), .. }) if !has_field(input, field) => {
            errors.at(field, &format!("`{name}` has no field `{field}`: name the field that tells its messages apart"));
        }
        Data::Struct(DataStruct { fields: Fields::Named(_), .. }) | Data::Union(_) => {}
        _ => errors.at(field, &format!("`{name}` has no named fields: a key is a field of a struct")),
    }
}

fn has_field(input: &DeriveInput, field: &Ident) -> bool {
    super::fields(&input.data).iter().any(|own| own.ident.as_ref() == Some(field))
}

/// The name that a value is.
fn name(value: &Expr) -> Option<String> {
    match value {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        _ => None,
    }
}

const FORM: &str = "a ttl is a text of a number and `ms`, `s`, `m`, `h` or `d`, as in `ttl = \"90s\"`";

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
