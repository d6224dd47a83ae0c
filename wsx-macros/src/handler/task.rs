//! A reference to a connection or a hub that is moved into a task. rustc rejects it, but does not
//! say what to write.
use super::signature::Function;
use crate::shared::{Errors, last};
use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::{FnArg, Pat, Type};

/// Looks for `tokio::spawn(async move { .. })` with such an argument inside. rustc decides about a
/// body that gives the name to another variable.
///
/// Returns whether there is one. It removes the `&` of the argument, so that rustc does not report
/// it too.
pub(super) fn check_tasks(function: &mut Function, errors: &mut Errors) -> bool {
    let mut found = false;
    let Function { signature, body, .. } = function;
    for argument in &mut signature.inputs {
        let FnArg::Typed(argument) = argument else { continue };
        let (Pat::Ident(name), Type::Reference(reference)) = (&*argument.pat, &*argument.ty) else { continue };
        let (name, Type::Path(path)) = (&name.ident, &*reference.elem) else { continue };
        if !last(&path.path).is_some_and(|last| last == "Connection" || last == "Hub") || renamed(body, name) {
            continue;
        }
        if let Some(used) = moved(body, name) {
            let why = format!(
                "`{name}` is a reference, which a task cannot keep: take the argument `{name}` without the `&`, and the \
                 task owns it"
            );
            errors.push(syn::Error::new(used.span(), why));
            let owned = Type::clone(&reference.elem);
            *argument.ty = owned;
            found = true;
        }
    }
    found
}

/// Whether the body gives the name to another variable: in a `let`, in a closure's arguments, or in
/// an arm of a `match`.
fn renamed(tokens: &TokenStream, name: &Ident) -> bool {
    let (mut in_let, mut in_arguments) = (false, false);
    let mut mentioned = false;
    for token in tokens.clone() {
        let mentions = match &token {
            TokenTree::Group(group) if renamed(&group.stream(), name) => return true,
            TokenTree::Group(group) => find(&group.stream(), name).is_some(),
            TokenTree::Ident(ident) => {
                in_let |= ident == "let";
                ident == name
            }
            TokenTree::Punct(punct) => {
                match punct.as_char() {
                    '=' => in_let = false,
                    '|' => in_arguments = !in_arguments,
                    // The end of `=>`.
                    '>' if mentioned => return true,
                    _ => {}
                }
                false
            }
            TokenTree::Literal(_) => false,
        };
        if mentions && (in_let || in_arguments) {
            return true;
        }
        // What stands before `=>` is a pattern.
        mentioned = mentions || (mentioned && matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '='));
    }
    false
}

/// The use of the name in a task.
fn moved(tokens: &TokenStream, name: &Ident) -> Option<Ident> {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    tokens.iter().enumerate().find_map(|(at, token)| {
        let TokenTree::Group(group) = token else { return None };
        // The tasks of a method called `spawn` may be allowed to borrow.
        let before = |back: usize| at.checked_sub(back).map(|before| tokens[before].to_string());
        let spawns = group.delimiter() == Delimiter::Parenthesis
            && before(1).as_deref() == Some("spawn")
            && before(2).as_deref() != Some(".");
        let inside = group.stream();
        let mut first = inside.clone().into_iter().map(|token| token.to_string());
        let is_task = first.next().as_deref() == Some("async") && first.next().as_deref() == Some("move");
        if spawns && is_task {
            return find(&inside, name);
        }
        moved(&inside, name)
    })
}

/// The name on its own, not as a field or a method.
fn find(tokens: &TokenStream, name: &Ident) -> Option<Ident> {
    let mut after_dot = false;
    tokens.clone().into_iter().find_map(|token| match token {
        TokenTree::Group(group) => {
            after_dot = false;
            find(&group.stream(), name)
        }
        TokenTree::Ident(ident) => (ident == *name && !std::mem::take(&mut after_dot)).then_some(ident),
        TokenTree::Punct(punct) => {
            after_dot = punct.as_char() == '.';
            None
        }
        TokenTree::Literal(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::check_tasks;
    use crate::shared::Errors;

    #[test]
    fn only_a_reference_that_a_task_keeps_is_a_mistake() {
        for (function, mistake) in [
            ("fn f(conn: &Connection) { tokio::spawn(async move { conn.close() }); }", true),
            ("fn f(hub: &wsx::Hub<A>) { if true { let _ = spawn(async move { { g(hub) } }); } }", true),
            ("fn f(conn: Connection) { tokio::spawn(async move { conn.close() }); }", false),
            ("fn f(conn: &Connection) { let conn = conn.clone(); tokio::spawn(async move { conn.close() }); }", false),
            (
                "fn f(conn: &Connection) { let mut conn = conn.clone(); tokio::spawn(async move { conn.close() }); }",
                false,
            ),
            ("fn f(conn: &Connection) { let (conn, a) = g(conn); tokio::spawn(async move { conn.close() }); }", false),
            (
                "fn f(conn: &Connection) { if let Some(conn) = g(conn) { tokio::spawn(async move { conn.close() }); } }",
                false,
            ),
            (
                "fn f(conn: &Connection) { match g() { Some(conn) => { tokio::spawn(async move { conn.close() }); } } }",
                false,
            ),
            (
                "fn f(conn: &Connection) { let n = 1; if n == g(conn) { tokio::spawn(async move { conn.close() }); } }",
                true,
            ),
            ("fn f(conn: &Connection) { g(|conn| { tokio::spawn(async move { conn.close() }); }); }", false),
            (
                "fn f(conn: &Connection) { tokio::spawn({ let conn = conn.clone(); async move { conn.close() } }); }",
                false,
            ),
            ("fn f(conn: &Connection) { tokio::spawn(g(conn)); }", false),
            ("fn f(conn: &Connection) { scope.spawn(async move { conn.close() }); }", false),
            ("fn f(conn: &Connection) { tokio::spawn(async move { other.conn.close() }); }", false),
            ("fn f(conn: &Other) { tokio::spawn(async move { conn.close() }); }", false),
        ] {
            let mut errors = Errors::default();
            let found = check_tasks(&mut syn::parse_str(function).unwrap(), &mut errors);
            assert_eq!((found, !errors.is_empty()), (mistake, mistake), "{function}");
        }
    }
}
