//! The shape of a message as a text: what its JSON depends on, and nothing else. It does not know
//! what the types of the fields are.
//!
//! Two spellings of one shape have the same text: named fields in another order, a borrowed type
//! instead of an owned one, spaces, and options of serde that do not change the JSON.
use super::serde_options::SerdeOptions;
use crate::shared::with_lifetimes;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Data, DeriveInput, Field, Fields, GenericArgument, Path, PathArguments, Type, Variant, ext::IdentExt};

/// The text, with a `_` for each type that may be a message.
#[derive(Default)]
pub(super) struct Part {
    pub(super) text: String,
    /// The types of the `_`, in their order.
    pub(super) leaves: Vec<Leaf>,
}

/// A type that may be a message.
pub(super) struct Leaf {
    /// What counts if it is not one.
    pub(super) name: String,
    /// The type, with `'static` for each lifetime.
    pub(super) ty: TokenStream,
}

impl Part {
    fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), leaves: Vec::new() }
    }

    fn add(&mut self, other: Self) {
        self.text += &other.text;
        self.leaves.extend(other.leaves);
    }

    fn list(mut self, parts: Vec<Self>, end: &str) -> Self {
        for part in parts {
            self.add(part);
            self.text.push(',');
        }
        self.text += end;
        self
    }

    /// The order of parts whose order JSON does not have.
    fn sorted(mut parts: Vec<Self>) -> Vec<Self> {
        parts.sort_by_cached_key(|part| {
            (part.text.clone(), part.leaves.iter().map(|leaf| leaf.name.clone()).collect::<Vec<_>>())
        });
        parts
    }
}

/// Returns the shape of a message.
pub(super) fn of(input: &DeriveInput) -> Part {
    let options = SerdeOptions::of(&input.attrs);
    let mut part = Part::of(options.text());
    match &input.data {
        Data::Struct(data) => {
            if options.has("tag") {
                // The name of the struct is the value of the tag.
                part.text += &options.name(&input.ident.unraw(), false);
            }
            part.add(fields(&data.fields, options.has("rename_all")));
        }
        Data::Enum(data) => {
            let variants = data.variants.iter().map(|one| (one, SerdeOptions::of(&one.attrs)));
            let variants: Vec<_> = variants.filter(|(_, options)| !options.is_skipped()).collect();
            // Without a tag, the first variant that fits is decoded.
            let ordered = options.has("untagged") || variants.iter().any(|(_, options)| options.has("untagged"));
            let parts = variants.iter().map(|(one, own)| variant(one, own, &options)).collect();
            part = Part::of(part.text + "enum").list(if ordered { parts } else { Part::sorted(parts) }, "");
        }
        Data::Union(_) => {}
    }
    part
}

fn variant(variant: &Variant, own: &SerdeOptions, outer: &SerdeOptions) -> Part {
    let name = own.name(&variant.ident.unraw(), outer.has("rename_all"));
    let mut part = Part::of(own.text() + &name);
    part.add(fields(&variant.fields, own.has("rename_all") || outer.has("rename_all_fields")));
    part
}

/// `has_rule` is whether an option renames all fields.
fn fields(fields: &Fields, has_rule: bool) -> Part {
    let parts = || -> Vec<Part> {
        let parts = fields.iter().map(|one| (one, SerdeOptions::of(&one.attrs)));
        parts
            .filter(|(_, options)| !options.is_skipped())
            .map(|(one, options)| field(one, &options, has_rule))
            .collect()
    };
    match fields {
        Fields::Unit => Part::of("unit"),
        Fields::Named(_) => Part::of("{").list(Part::sorted(parts()), "}"),
        // Its JSON is the JSON of the field.
        Fields::Unnamed(all) if all.unnamed.len() == 1 => {
            let one = &all.unnamed[0];
            Part::of("newtype(").list(vec![field(one, &SerdeOptions::of(&one.attrs), has_rule)], ")")
        }
        Fields::Unnamed(_) => Part::of("(").list(parts(), ")"),
    }
}

fn field(field: &Field, options: &SerdeOptions, has_rule: bool) -> Part {
    let mut part = Part::of(options.text());
    // The name of a flattened field is not in the JSON.
    if let Some(name) = field.ident.as_ref().filter(|_| !options.has("flatten")) {
        part.text += &options.name(&name.unraw(), has_rule);
        part.text.push(':');
    }
    part.add(of_type(&field.ty));
    part
}

/// A type that is written here, down to the types that may be messages.
fn of_type(ty: &Type) -> Part {
    let all = |types: &mut dyn Iterator<Item = &Type>| types.map(of_type).collect();
    match ty {
        Type::Group(group) => of_type(&group.elem),
        Type::Paren(paren) => of_type(&paren.elem),
        Type::Reference(reference) => of_type(&reference.elem),
        Type::Slice(slice) => Part::of("Vec<").list(vec![of_type(&slice.elem)], ">"),
        Type::Array(array) => {
            Part::of("[").list(vec![of_type(&array.elem)], &format!("{}]", text(array.len.to_token_stream())))
        }
        Type::Tuple(tuple) => Part::of("(").list(all(&mut tuple.elems.iter()), ")"),
        Type::Path(path) if path.qself.is_none() => of_path(ty, &path.path),
        Type::Path(_) | Type::Macro(_) => leaf(ty, text(ty.to_token_stream())),
        other => Part::of(text(with_lifetimes(other.to_token_stream(), "'static"))),
    }
}

fn of_path(ty: &Type, path: &Path) -> Part {
    let before = path.segments.iter().rev().skip(1).collect::<Vec<_>>();
    let Some(last) = path.segments.last() else { return Part::default() };
    let is_std = before.last().is_some_and(|first| ["alloc", "core", "std"].iter().any(|name| first.ident == name));
    let is_short = is_std || before.is_empty();
    let mut name = last.ident.unraw().to_string();
    if !is_short {
        name = before.iter().fold(name, |name, segment| format!("{}::{name}", text(segment.to_token_stream())));
    }
    let arguments: Vec<&GenericArgument> = match &last.arguments {
        PathArguments::AngleBracketed(all) => {
            all.args.iter().filter(|argument| !matches!(argument, GenericArgument::Lifetime(_))).collect()
        }
        _ => Vec::new(),
    };
    match (&*name, &*arguments) {
        ("Arc" | "Box" | "Cow" | "Rc", [GenericArgument::Type(inner)]) => of_type(inner),
        ("str", []) if is_short => Part::of("String"),
        (
            "bool" | "char" | "f32" | "f64" | "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32"
            | "u64" | "u128" | "usize" | "String",
            [],
        ) => Part::of(name),
        // A message does not have type parameters.
        (_, []) => leaf(ty, name),
        (_, arguments) => {
            let parts = arguments.iter().map(|argument| match argument {
                GenericArgument::Type(inner) => of_type(inner),
                other => Part::of(text(other.to_token_stream())),
            });
            Part::of(name + "<").list(parts.collect(), ">")
        }
    }
}

fn leaf(ty: &Type, name: String) -> Part {
    let ty = with_lifetimes(ty.to_token_stream(), "'static");
    Part { text: "_".to_owned(), leaves: vec![Leaf { name, ty }] }
}

/// The tokens, each after a space. The compiler's own text depends on its version and on the spaces
/// in the source.
pub(super) fn text(tokens: TokenStream) -> String {
    let mut out = String::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out += &format!(" {open}{}{close}", text(group.stream()));
            }
            token => out += &format!(" {token}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::of;

    fn shape(item: &str) -> String {
        let part = of(&syn::parse_str(item).unwrap());
        let names: Vec<&str> = part.leaves.iter().map(|leaf| &*leaf.name).collect();
        format!("{} {}", part.text, names.join(" "))
    }

    #[test]
    fn what_changes_the_json_changes_the_shape() {
        let different = [
            "struct A;",
            "struct A {}",
            "struct A();",
            "struct A(u8);",
            "struct A(u8, #[serde(skip)] u8);",
            "struct A(u8, u8);",
            "struct A(u8, u16);",
            "struct A(u16, u8);",
            "struct A([u8; 3]);",
            "struct A(Vec<u8>);",
            "struct A(Option<u8>);",
            "struct A(Option<Inner>);",
            "struct A(Inner);",
            "struct A(other::Inner);",
            "struct A(HashMap<String, Inner>);",
            "struct A(HashMap<u8, Inner>);",
            "struct A { a: u8 }",
            "struct A { b: u8 }",
            "struct A { a: u16 }",
            "struct A { a: u8, b: u8 }",
            "struct A { a: u8, b: u16 }",
            "struct A { a: u16, b: u8 }",
            "struct A { #[serde(default)] a: u8 }",
            "struct A { #[serde(alias = \"b\")] a: u8 }",
            "struct A { #[serde(with = \"hex\")] a: u8 }",
            "struct A { #[serde(skip_serializing)] a: u8 }",
            "struct A { #[serde(skip_deserializing)] a: u8 }",
            "struct A { #[serde(skip_serializing_if = \"is_zero\")] a: u8 }",
            "struct A { #[serde(rename(serialize = \"b\"))] a: u8 }",
            "struct A { x: u8, a: Inner }",
            "struct A { x: u8, #[serde(flatten)] a: Inner }",
            "struct A { a: i8 }",
            "#[serde(transparent)] struct A { a: i8 }",
            "#[serde(deny_unknown_fields)] struct A { a: u8 }",
            "#[serde(rename_all = \"UPPERCASE\")] struct A { a: u8 }",
            "#[serde(tag = \"tag\")] struct A { a: u8 }",
            "#[serde(tag = \"tag\")] struct B { a: u8 }",
            "enum A {}",
            "enum A { B }",
            "enum A { B() }",
            "enum A { B {} }",
            "enum A { C }",
            "enum A { B, C }",
            "enum A { B { x: u8 }, C {} }",
            "enum A { B {}, C { x: u8 } }",
            "enum A { B(u8), C() }",
            "enum A { B(), C(u8) }",
            "enum A { B(u8, u8), C() }",
            "enum A { B, #[serde(other)] C }",
            "enum A { B, #[serde(untagged)] C(u8) }",
            "enum A { B { #[serde(rename = \"y\")] x: u8 }, C {} }",
            "#[serde(rename_all = \"lowercase\")] enum A { B }",
            "#[serde(rename_all_fields = \"UPPERCASE\")] enum A { B { x: u8 }, C {} }",
            "enum A { #[serde(rename_all = \"UPPERCASE\")] B { x: u8 }, C {} }",
            "#[serde(tag = \"tag\")] enum A { B, C }",
            "#[serde(tag = \"tag\", content = \"content\")] enum A { B, C }",
            "#[serde(untagged)] enum A { B(u8), C(u16) }",
            "#[serde(untagged)] enum A { C(u16), B(u8) }",
        ];
        for (at, one) in different.iter().enumerate() {
            for other in &different[..at] {
                assert_ne!(shape(one), shape(other), "{one} and {other}");
            }
        }
        let rule = |field| shape(&format!("#[serde(rename_all = \"UPPERCASE\")] struct A {{ {field} }}"));
        assert_ne!(rule("a: u8"), rule("#[serde(rename = \"a\")] a: u8"));
    }

    #[test]
    fn what_leaves_the_json_as_it_is_leaves_the_shape() {
        for (one, other) in [
            ("struct A { a: u8, b: Inner }", "struct A { b: Inner, a: u8 }"),
            ("struct A { b: u8 }", "struct A { #[serde(rename = \"b\")] a: u8 }"),
            ("struct A { r#type: u8 }", "struct A { #[serde(rename = \"type\")] kind: u8 }"),
            ("struct A { a: String }", "struct A<'a> { #[serde(borrow)] a: Cow<'a, str> }"),
            ("struct A { a: String }", "struct A<'a> { #[wsx(never_escaped)] a: &'a str }"),
            ("struct A { a: String }", "struct A { a: std::string::String }"),
            ("struct A { a: Option<String> }", "struct A<'a> { a: Option<std::borrow::Cow<'a, str>> }"),
            ("struct A { a: Vec<u8> }", "struct A<'a> { a: &'a [u8] }"),
            ("struct A { a: Vec<u8> }", "struct A { a: Box<[ u8 ]> }"),
            ("struct A { a: Inner }", "struct A<'a> { a: Inner<'a> }"),
            ("struct A { a: Inner }", "struct A { a: Arc<Inner> }"),
            ("struct A { a: Box<RawValue> }", "struct A<'a> { a: &'a RawValue }"),
            ("struct A { a: HashMap<u8, Inner> }", "struct A { a: std::collections::HashMap<u8, Inner> }"),
            ("struct A { a: u8 }", "struct A { a: u8, #[serde(skip)] b: u16 }"),
            ("struct A { a: u8 }", "#[serde(rename = \"C\", bound = \"\", expecting = \"an A\")] struct B { a: u8 }"),
            ("struct A { #[serde(flatten)] a: Inner }", "struct A { #[serde(flatten)] b: Inner }"),
            ("struct A { #[serde(default)] a: u8 }", "struct A { #[serde(default = \"one\")] a: u8 }"),
            (
                "struct A { #[serde(default, alias = \"b\")] a: u8 }",
                "struct A { #[serde(alias = \"b\")] #[serde(default)] a: u8 }",
            ),
            ("enum A { B, C { x: u8, y: u8 } }", "enum A { C { y: u8, x: u8 }, B }"),
            ("enum A { B, C }", "enum A { #[serde(rename = \"C\")] D, B, #[serde(skip)] E }"),
        ] {
            assert_eq!(shape(one), shape(other), "{one} and {other}");
        }
    }
}
