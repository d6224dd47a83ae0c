//! The options of serde that change the JSON of a message, or which JSON it accepts.
use super::shape::text;
use proc_macro2::Ident;
use quote::ToTokens;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, Token, punctuated::Punctuated};

/// Options without an effect on the JSON.
const WITHOUT_EFFECT: [&str; 4] = ["borrow", "bound", "crate", "expecting"];

/// The `#[serde(..)]` of a type, a variant or a field.
#[derive(Default)]
pub(super) struct SerdeOptions {
    names: Vec<String>,
    texts: Vec<String>,
    /// The name in `rename = ".."`.
    rename: Option<String>,
}

impl SerdeOptions {
    pub(super) fn of(attrs: &[Attribute]) -> Self {
        let mut options = Self::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
            match attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) {
                Ok(all) => all.iter().for_each(|meta| options.add(meta)),
                // serde reports the mistake.
                Err(_) => options.texts.push(text(attr.meta.to_token_stream())),
            }
        }
        options.texts.sort_unstable();
        options
    }

    fn add(&mut self, meta: &Meta) {
        let name = text(meta.path().to_token_stream()).trim_start().to_owned();
        if WITHOUT_EFFECT.contains(&&*name) {
            return;
        }
        match (&*name, meta) {
            ("rename", Meta::NameValue(pair)) => self.rename = string(&pair.value),
            // The value of a missing field is not in the JSON.
            ("default", _) => self.texts.push(name.clone()),
            _ => self.texts.push(text(meta.to_token_stream())),
        }
        self.names.push(name);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// Whether the field or variant is in no JSON.
    pub(super) fn is_skipped(&self) -> bool {
        self.has("skip") || (self.has("skip_serializing") && self.has("skip_deserializing"))
    }

    /// The name in the JSON. `has_rule` is whether an option of the type renames all; then a name
    /// of Rust is not the name in the JSON.
    pub(super) fn name(&self, ident: &Ident, has_rule: bool) -> String {
        match &self.rename {
            Some(name) => format!("{name:?}"),
            None if has_rule => format!("~{ident}"),
            None => format!("{:?}", ident.to_string()),
        }
    }

    /// The other options.
    pub(super) fn text(&self) -> String {
        self.texts.iter().map(|text| format!("#[{text}]")).collect()
    }
}

fn string(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}
