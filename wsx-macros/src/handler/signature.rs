//! The signature of the handler's function.
use crate::shared::Errors;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Attribute, FnArg, GenericParam, Safety, Signature, Token, Type, Visibility,
    parse::{Parse, ParseStream},
};

/// With more arguments, shared state belongs into a struct.
const MAX_ARGUMENTS: usize = 6;

/// The body is not parsed, so that a handler with a half-written body keeps its entry, and an
/// editor its completion.
pub(super) struct Function {
    pub(super) attrs: Vec<Attribute>,
    pub(super) visibility: Visibility,
    pub(super) signature: Signature,
    pub(super) body: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let start = input.peek(Token![fn])
            || input.peek(Token![async])
            || input.peek(Token![const])
            || input.peek(Token![unsafe])
            || input.peek(Token![extern]);
        if !start {
            return Err(input.error("`#[wsx::handler]` goes on a function"));
        }
        let signature = input.parse()?;
        let body = input.parse()?;
        Ok(Self { attrs, visibility, signature, body })
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attrs, visibility, signature, body } = self;
        tokens.extend(quote!(#(#attrs)* #visibility #signature #body));
    }
}

pub(super) fn check(signature: &Signature, errors: &mut Errors) {
    if let Some(generic) =
        signature.generics.params.iter().find(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
    {
        errors.at(generic, "a handler cannot be generic: write one function for each message type");
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(variadic, "a handler cannot be variadic");
    }
    if let Safety::Unsafe(token) = &signature.safety {
        errors.at(token, "a handler cannot be `unsafe`, because wsx calls it: put the unsafe code into a block inside");
    }
    for (count, argument) in signature.inputs.iter().enumerate() {
        match argument {
            FnArg::Receiver(receiver) => errors
                .at(receiver, "a handler is a free function: take the endpoint's value as `&Endpoint`, not as `self`"),
            FnArg::Typed(argument) => {
                if let Some(cfg) = argument.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
                    errors.at(cfg, "`#[cfg]` goes on the handler, not on its argument: write a handler for each case");
                }
                check_type(&argument.ty, errors);
                if count == MAX_ARGUMENTS {
                    errors.at(argument, "a handler takes at most 6 arguments: put shared state into one struct");
                }
            }
        }
    }
}

fn check_type(ty: &Type, errors: &mut Errors) {
    match ty {
        Type::ImplTrait(ty) => errors.at(ty, "an argument of a handler cannot be `impl Trait`: name its type"),
        Type::Reference(ty) if ty.mutability.is_some() => {
            errors.at(
                ty,
                "a handler cannot take `&mut`, because handlers of many connections run at once: put a `Mutex` into the state",
            );
        }
        _ => {}
    }
}

pub(super) fn cfgs(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr"))
}

pub(super) trait Types {
    /// The types of the arguments.
    fn types(&self) -> Vec<&Type>;
}

impl Types for Signature {
    fn types(&self) -> Vec<&Type> {
        let typed = self.inputs.iter().filter_map(|argument| match argument {
            FnArg::Typed(argument) => Some(&*argument.ty),
            FnArg::Receiver(_) => None,
        });
        typed.collect()
    }
}
