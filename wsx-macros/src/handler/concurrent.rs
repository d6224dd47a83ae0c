//! The checks of a handler with `concurrent = ..`.
use super::{
    attribute::{Args, Concurrent},
    signature::Types as _,
};
use crate::shared::{Errors, has_lifetime, last, type_span};
use quote::ToTokens;
use syn::{Path, Signature, Type};

/// Checks that the handler can run beside others: it is async, it owns its message, and it is not
/// for the opening or the end of a connection.
pub(super) fn check_concurrent(concurrent: &Concurrent, args: &Args, signature: &Signature, errors: &mut Errors) {
    if let Some(reserved @ ("__open__" | "__close__")) = args.reserved().as_deref() {
        let why = format!("a `{reserved}` handler runs once for a connection: remove `concurrent`");
        errors.push(syn::Error::new(concurrent.option.span(), why));
        return;
    }
    if signature.asyncness.is_none() {
        let why = "a concurrent handler is an `async fn`: a sync one never waits, so its calls run one after another";
        errors.push(syn::Error::new(signature.ident.span(), why));
    }
    for ty in signature.types().into_iter().filter(|ty| borrows(ty, args.on.as_ref())) {
        let why =
            "a concurrent handler owns its message: take it without lifetimes, such as a `String` in place of a `&str`";
        errors.push(syn::Error::new(type_span(ty), why));
    }
}

/// Whether the argument may borrow from the message. A reference to the connection, the hub or the
/// endpoint does not.
fn borrows(ty: &Type, on: Option<&Path>) -> bool {
    let Type::Reference(reference) = ty else { return has_lifetime(ty.to_token_stream()) };
    let Type::Path(path) = &*reference.elem else { return true };
    let is_context = last(&path.path).is_some_and(|name| {
        name == "Connection" || name == "Hub" || on.and_then(last).is_some_and(|endpoint| name == endpoint)
    });
    !is_context || has_lifetime(path.to_token_stream())
}

#[cfg(test)]
mod tests {
    use super::borrows;

    #[test]
    fn a_concurrent_handler_may_borrow_only_the_context() {
        let on = syn::parse_str("fleet::Station").unwrap();
        for (ty, expected) in [
            ("Reboot", false),
            ("wsx::Envelope<Reboot>", false),
            ("&Connection<Server>", false),
            ("&'a wsx::Hub<Station>", false),
            ("&Station", false),
            ("&fleet::Station", false),
            ("Connection<Server>", false),
            ("&str", true),
            ("&[u8]", true),
            ("&Reboot", true),
            ("Telemetry<'_>", true),
            ("Cow<'a, str>", true),
            ("RawFrame<'_>", true),
            ("Meta<'_>", true),
            ("Option<&str>", true),
        ] {
            assert_eq!(borrows(&syn::parse_str(ty).unwrap(), Some(&on)), expected, "{ty}");
        }
    }
}
