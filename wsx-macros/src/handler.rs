//! `#[handler]`: the function as it is written, and beside it an entry that draws its arguments and calls it.
use crate::argument::{Argument, Place};
use crate::attr::{self, Errors, key_of, last, once, path_span, respan, type_span, with_lifetimes};
use crate::message::snake_case;
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Attribute, FnArg, GenericParam, Ident, LitStr, Path, ReturnType, Safety, Signature, Token, Type, Visibility,
    parse::{Parse, ParseStream},
};

/// More arguments than this are a sign of state that wants a struct.
const MAX_ARGUMENTS: usize = 6;
const KNOWN: &str =
    "a handler has the options `#[wsx::handler(\"type\", on = Endpoint, foreign, crate = path)]`, all optional";
/// Reserved types, which stand for what is no message.
const RESERVED: [&str; 4] = ["__raw__", "__open__", "__close__", "__unknown__"];

pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = parse_args(args, &mut errors);
    let function = errors.take(syn::parse2::<Function>(item.clone()));
    if let Some(function) = &function {
        check(&function.signature, &mut errors);
    }
    let entry = match &function {
        Some(function) if errors.is_empty() => Some(entry(&args, function)),
        function => stand_in(&args, function.as_ref()),
    };
    let errors = errors.finish();
    // The function always survives as it is written, so that nothing else fails because of this error. Its signature is
    // the message's, so lints that would have it changed are of no use to its author.
    quote! {
        #[allow(clippy::needless_pass_by_value, clippy::unused_async, reason = "a handler's signature says what it takes")]
        #item
        #errors
        #entry
    }
}

/// `"type", on = Endpoint, foreign, crate = path`: all optional, in any order.
#[derive(Default)]
struct Args {
    message_type: Option<LitStr>,
    /// Named properly, or by a mistake that leaves no doubt about it.
    on: Option<Path>,
    /// A type that stands alone between two commas.
    lone: Option<Path>,
    foreign: Option<Ident>,
    krate: Option<Path>,
}

/// As much as can be understood: what is wrong is an error, and what is right still counts.
fn parse_args(tokens: TokenStream, errors: &mut Errors) -> Args {
    let mut args = Args::default();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if errors.take(args.parse_one(input)).is_some() && !input.is_empty() && !input.peek(Token![,]) {
                errors.push(input.error("expected `,` before the next option"));
                // What is right of it still counts; what is not has been reported by now.
                let _ = args.parse_one(input);
            }
            // On to the next option, whatever is left of this one.
            while !input.is_empty() && !input.peek(Token![,]) {
                input.parse::<TokenTree>()?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    // The parser reports its errors itself.
    let _ = syn::parse::Parser::parse2(parser, tokens);
    if let Some(lone) = args.lone.take() {
        let name = last(&lone).expect("a path has a part");
        match args.on {
            None => errors.at(name, &format!("an endpoint is named as in `on = {name}`; {KNOWN}")),
            Some(_) => errors.at(
                name,
                &format!("a message's type is a string, and may be left out where an argument is the message; {KNOWN}"),
            ),
        }
        args.on.get_or_insert(lone);
    }
    if let (Some(foreign), None) = (&args.foreign, &args.on) {
        errors.at(
            foreign,
            "`foreign` says that the endpoint is another crate's, so name the endpoint: `on = other::Station`",
        );
    }
    args
}

impl Args {
    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(LitStr) {
            let literal: LitStr = input.parse()?;
            if self.message_type.is_some() {
                return Err(syn::Error::new(
                    literal.span(),
                    "a handler has one message type; write a second function for a second type",
                ));
            }
            let text = literal.value();
            // Kept all the same, so that nothing else is asked for in its place.
            self.message_type = Some(literal.clone());
            if text.is_empty() {
                return Err(syn::Error::new(literal.span(), "a message's type is not empty"));
            }
            if text.starts_with("__") && !RESERVED.contains(&&*text) {
                let reserved = RESERVED.join("`, `");
                return Err(syn::Error::new(
                    literal.span(),
                    format!("no message's type begins with `__`; the reserved types are `{reserved}`"),
                ));
            }
            return Ok(());
        }
        if input.peek(Token![crate]) {
            let key = input.parse::<Token![crate]>()?;
            once(self.krate.is_some(), key)?;
            input.parse::<Token![=]>()?;
            self.krate = Some(input.call(Path::parse_mod_style)?);
            return Ok(());
        }
        if let Some(path) = lone_type(input) {
            self.lone.get_or_insert(path);
            return Ok(());
        }
        let key: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), KNOWN))?;
        if key == "foreign" {
            once(self.foreign.is_some(), &key)?;
            self.foreign = Some(key);
            return Ok(());
        }
        if key != "on" {
            return Err(syn::Error::new(key.span(), format!("unknown option `{key}`; {KNOWN}")));
        }
        once(self.on.is_some(), &key)?;
        input.parse::<Token![=]>()?;
        if input.peek(LitStr) {
            let literal: LitStr = input.parse()?;
            self.on = literal.parse().ok();
            let why = format!("an endpoint is a type, not a string: write `on = {}`", literal.value());
            return Err(syn::Error::new(literal.span(), why));
        }
        self.on = Some(input.parse()?);
        Ok(())
    }

    /// What the meaning of an argument depends on.
    fn arguments<'t>(&self, p: &TokenStream, types: &[&'t Type]) -> Vec<Argument<'t>> {
        let message_type = self.message_type.as_ref().map(LitStr::value);
        let place = Place { on: self.on.as_ref(), message_type: message_type.as_deref() };
        types.iter().map(|ty| Argument::new(p, ty, place)).collect()
    }

    /// The type string as a type. A literal that is the name of an argument's type is taken at its word, which spares the
    /// compiler work; any other may be mistyped, and its message is not to be reported as missing too.
    fn key(&self, p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
        let is_a_name = |text: &str| {
            arguments.iter().any(|argument| match argument.ty {
                Type::Path(path) => {
                    path.path.segments.last().is_some_and(|last| snake_case(&last.ident.to_string()) == text)
                }
                _ => false,
            })
        };
        if let Some(only) = self.sole_message(arguments) {
            return only.key(p);
        }
        let otherwise = match self.message_type.as_ref().map(LitStr::value) {
            Some(text) if is_a_name(&text) || RESERVED.contains(&&*text) => return key_of(p, &text),
            Some(text) => {
                let key = key_of(p, &text);
                quote!(#p::Spelled<#key>)
            }
            None => quote!(#p::Nothing),
        };
        let place = place(p, arguments);
        let keyed = candidates(arguments).map(|argument| argument.keyed(p));
        quote!(<<(#(#keyed,)* #otherwise,) as #p::At<{ #place }, __Elsewhere>>::Type as #p::Keyed<__Elsewhere>>::Key)
    }

    /// The one argument that must be the message: on an endpoint of this crate, without a literal. To take it as the
    /// message at once spares the compiler the search for it, once for each pair of handlers that it compares.
    fn sole_message<'a, 't>(&self, arguments: &'a [Argument<'t>]) -> Option<&'a Argument<'t>> {
        let mut all = candidates(arguments);
        match (all.next(), all.next()) {
            (Some(only), None) if self.on.is_some() && self.foreign.is_none() && self.message_type.is_none() => {
                Some(only)
            }
            _ => None,
        }
    }

    /// The reserved type that it handles, if it is one.
    fn reserved(&self) -> Option<String> {
        self.message_type.as_ref().map(LitStr::value).filter(|text| RESERVED.contains(&&**text))
    }
}

/// A type that stands alone between two commas, as an endpoint does that was forgotten to be called one.
fn lone_type(input: ParseStream<'_>) -> Option<Path> {
    let ahead = input.fork();
    let path = ahead.call(Path::parse_mod_style).ok()?;
    let is_type = path.segments.last()?.ident.to_string().starts_with(char::is_uppercase);
    if !is_type || !(ahead.is_empty() || ahead.peek(Token![,])) {
        return None;
    }
    input.call(Path::parse_mod_style).ok()
}

/// Only the signature is parsed, so that a body that is half typed keeps its entry, and an editor its completion.
struct Function {
    attrs: Vec<Attribute>,
    signature: Signature,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        let start = input.peek(Token![fn])
            || input.peek(Token![async])
            || input.peek(Token![const])
            || input.peek(Token![unsafe])
            || input.peek(Token![extern]);
        if !start {
            return Err(input.error("`#[wsx::handler]` goes on a function"));
        }
        let signature = input.parse()?;
        input.parse::<TokenStream>()?;
        Ok(Self { attrs, signature })
    }
}

fn check(signature: &Signature, errors: &mut Errors) {
    if let Some(generic) =
        signature.generics.params.iter().find(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
    {
        errors.at(generic, "a handler is registered once, under one type, so it is not generic");
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(variadic, "a handler is not variadic");
    }
    if let Safety::Unsafe(token) = &signature.safety {
        errors.at(token, "a handler is called by the library, so it is not `unsafe`");
    }
    for (count, argument) in signature.inputs.iter().enumerate() {
        match argument {
            FnArg::Receiver(receiver) => errors
                .at(receiver, "a handler is a free function: take the endpoint's value as `&Endpoint`, not as `self`"),
            FnArg::Typed(argument) => {
                if let Some(cfg) = argument.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
                    errors.at(cfg, "`cfg` goes on the handler, not on its argument");
                }
                check_type(&argument.ty, errors);
                if count == MAX_ARGUMENTS {
                    errors.at(argument, "a handler takes at most 6 arguments; put shared state into one struct");
                }
            }
        }
    }
}

fn check_type(ty: &Type, errors: &mut Errors) {
    match ty {
        Type::ImplTrait(ty) => errors.at(ty, "an argument of a handler has a concrete type"),
        Type::Reference(ty) if ty.mutability.is_some() => {
            errors.at(
                ty,
                "handlers run on many connections at once, so no argument is `&mut`; put a `Mutex` into the state",
            );
        }
        _ => {}
    }
}

/// The entry of a function that has passed all checks.
fn entry(args: &Args, function: &Function) -> TokenStream {
    let p = attr::private(args.krate.as_ref());
    let Function { attrs, signature } = function;
    let (name, name_text) = (&signature.ident, signature.ident.to_string());
    let cfgs = cfgs(attrs);
    let types = signature.types();
    let arguments = args.arguments(&p, &types);
    let outside: Vec<&TokenStream> = arguments.iter().map(|argument| &argument.outside).collect();
    let message_type = message_type(args, &p, name, &arguments);
    let payloads = payload_checks(args, &p, name, &arguments);
    let doubts = arguments
        .iter()
        .enumerate()
        .map(|(at, argument)| argument.check(&respan(&p, argument.span()), &format_ident!("HANDLER_TAKES_{}", at + 1)));
    let endpoint = endpoint(args, &p);
    let typed = args.on.as_ref().map(|on| typed(args, &p, name, on, &arguments));
    // Where nothing else can be the message, it is what the argument is meant to be.
    let has_type =
        args.message_type.is_some() || arguments.iter().any(|argument| argument.may_be_message() && !argument.wraps);
    let meant = arguments.iter().find_map(|argument| argument.meant.as_ref()).filter(|_| has_type).map(|meant| {
        let handled = handled(args, &p, &arguments);
        quote! {
            const _: () = {
                type __On = #meant;
                #handled
            };
        }
    });
    let call = call(args, &p, signature, &arguments);
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(warnings, clippy::all, clippy::pedantic, reason = "generated code")]
        const _: () = {
            use #p::{NotHandling as _, Plain as _};
            #endpoint
            #message_type
            #payloads
            #(#doubts)*
            #call
            const __ENTRY: #p::HandlerEntry<__On> = #p::HandlerEntry {
                message_type: __TYPE,
                call: __call,
                payload: #p::any(&[#(#p::Probe::<#outside>::READS),*]),
                states: &[#(#p::Probe::<#outside>::STATE),*],
                takes_hub: #p::any(&[#(#p::Probe::<#outside>::HUB),*]),
                name: #p::concat!(#p::module_path!(), "::", #name_text),
                file: #p::file!(),
                line: #p::line!(),
            };
            #typed
            #meant
            #p::inventory::submit! {
                #p::Registration { endpoint: #p::TypeId::of::<__On>, entry: || #p::listed(__ENTRY) }
            }
        };
    }
}

/// In place of an entry with a mistake: says that the message is handled, lest it be reported as missing too.
fn stand_in(args: &Args, function: Option<&Function>) -> Option<TokenStream> {
    let function = function?;
    // In an `impl` it could not stand: that would be a second error.
    if args.on.is_none() || args.foreign.is_some() || function.signature.receiver().is_some() {
        return None;
    }
    let p = attr::private(args.krate.as_ref());
    let cfgs = cfgs(&function.attrs);
    // `impl Trait` has no place outside of a signature, and is a mistake already.
    let mut types = function.signature.types();
    types.retain(|ty| !matches!(ty, Type::ImplTrait(_)));
    // Nor has a type parameter.
    let parameters = function.signature.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => Some(&parameter.ident),
        GenericParam::Const(parameter) => Some(&parameter.ident),
        GenericParam::Lifetime(_) => None,
    });
    let parameters: Vec<&Ident> = parameters.collect();
    types.retain(|ty| !names_any(ty.to_token_stream(), &parameters));
    let arguments = args.arguments(&p, &types);
    let found = messages(&p, &arguments);
    let message_type = match &args.message_type {
        Some(literal) => quote!(#literal),
        None => quote!(#p::first(#found, "")),
    };
    let endpoint = endpoint(args, &p);
    let handled = handled(args, &p, &arguments);
    Some(quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(warnings, reason = "generated code")]
        const _: () = {
            use #p::Plain as _;
            #endpoint
            const __TYPE: &str = #message_type;
            #handled
        };
    })
}

/// Whether one of these names stands in the tokens.
fn names_any(tokens: TokenStream, names: &[&Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => names.contains(&&ident),
        TokenTree::Group(group) => names_any(group.stream(), names),
        _ => false,
    })
}

/// Says that `__On` handles this message, though it does not.
fn handled(args: &Args, p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
    let key = args.key(p, arguments);
    let is_here = is_here(p);
    quote! {
        #is_here
        struct __Elsewhere;
        impl #p::HandledOnceBy<<() as #p::If<__IS_HERE, __On, __Elsewhere>>::Type, __On> for #key {
            const ENTRY: #p::HandlerEntry<__On> = #p::mistaken(__TYPE);
        }
    }
}

/// The endpoint, named once: what cannot be found is reported once. And the endpoint where its being one is needed: something
/// that is none is reported by the check made for it.
fn endpoint(args: &Args, p: &TokenStream) -> TokenStream {
    let on = args.on.as_ref().map_or_else(|| quote!(#p::Untyped), ToTokens::to_token_stream);
    quote! {
        type __On = #on;
        type __Endpoint = <() as #p::If<{ #p::Probe::<__On>::ENDPOINT }, __On, #p::Untyped>>::Type;
    }
}

/// Whether the endpoint is of this crate.
fn is_here(p: &TokenStream) -> TokenStream {
    quote!(const __IS_HERE: bool = #p::same_crate(#p::Probe::<__On>::MODULE, #p::module_path!());)
}

fn cfgs(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr"))
}

/// Those of the arguments that may be the message.
fn candidates<'a, 't>(arguments: &'a [Argument<'t>]) -> impl Iterator<Item = &'a Argument<'t>> {
    arguments.iter().filter(|argument| argument.may_be_message())
}

/// The type strings that they have.
fn messages(p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
    let messages = candidates(arguments).map(|argument| argument.message(p));
    quote!(&[#(#messages),*])
}

/// Which of them is the message; their number if none.
fn place(p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
    let messages = messages(p, arguments);
    quote!(#p::position(#messages))
}

trait Types {
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

/// What the compiler is told, and asked, of a handler on an endpoint of the program's own: that there is one for this
/// message, that there is no second, and that the message comes to this side.
fn typed(args: &Args, p: &TokenStream, name: &Ident, on: &Path, arguments: &[Argument<'_>]) -> TokenStream {
    let on_span = path_span(on);
    let at_on = respan(p, on_span);
    let on_text = last(on).map(Ident::to_string).unwrap_or_default();
    let endpoint = quote_spanned!(on_span=> #at_on::is_endpoint::<__On>(););
    let where_from = match &args.foreign {
        None => {
            let why = format!(
                "`{on_text}` is an endpoint of another crate: write `#[wsx::handler(.., on = {on_text}, foreign)]`, and `partial` \
                 where `{on_text}` is declared"
            );
            quote_spanned!(on_span=> #at_on::ensure(__IS_HERE, #why.as_bytes());)
        }
        Some(foreign) => {
            let why = format!("`{on_text}` is an endpoint of this crate, so its handlers are not `foreign`");
            let p = respan(p, foreign.span());
            quote_spanned!(foreign.span()=> #p::ensure(!__IS_HERE, #why.as_bytes());)
        }
    };
    let is_here = is_here(p);
    // Two handlers for one message conflict here: the error shows both, at the literal or at the function's name.
    let place = args.message_type.as_ref().map_or_else(|| name.span(), LitStr::span);
    let handles = args.foreign.is_none().then(|| {
        let key = args.key(p, arguments);
        quote_spanned! {place=>
            struct __Elsewhere;
            impl #p::HandledOnceBy<<() as #p::If<__IS_HERE, __On, __Elsewhere>>::Type, __On> for #key {
                const ENTRY: #p::HandlerEntry<__On> = __ENTRY;
            }
        }
    });
    let direction = direction_checks(args, p, arguments);
    // One constant for all, since each costs the compiler. What is no endpoint fails by its type, and the rest is not asked.
    quote! {
        #is_here
        #handles
        const HANDLER: () = { #endpoint #where_from #direction };
    }
}

/// The message must come to this side: blamed on the argument that is the message, or on the literal where none is.
fn direction_checks(args: &Args, p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
    if args.reserved().is_some() {
        return TokenStream::new();
    }
    let count = candidates(arguments).count();
    let found = place(p, arguments);
    let directions = candidates(arguments).enumerate().filter(|(_, argument)| !argument.wraps).map(|(at, argument)| {
        let (span, ty) = (argument.span(), &argument.outside);
        let p = respan(p, span);
        // Who receives it: what is not the message may come to anybody.
        quote_spanned! {span=>
            #p::receives::<
                <() as #p::If<{ #found == #at }, <__Endpoint as #p::Endpoint>::Side, #p::AnySide>>::Type,
                <__Endpoint as #p::Endpoint>::Peer,
                #ty,
            >();
        }
    });
    let literal = args.message_type.as_ref().map(|literal| {
        let p = respan(p, literal.span());
        quote_spanned! {literal.span()=>
            #p::ensure_inbound::<<__Endpoint as #p::Endpoint>::Side>(#found != #count, __TYPE);
        }
    });
    quote!(#(#directions)* #literal)
}

/// The routing key, checked against the payload's own where both are there.
fn message_type(args: &Args, p: &TokenStream, name: &Ident, arguments: &[Argument<'_>]) -> TokenStream {
    let found = messages(p, arguments);
    let Some(literal) = &args.message_type else {
        if args.sole_message(arguments).is_some() {
            // That it is none is said where its key is asked for.
            return quote!(const __TYPE: &str = #p::first(#found, ""););
        }
        let span = name.span();
        let p = respan(p, span);
        let why = format!(
            "no argument of `{name}` is a message: derive `wsx::Message` for the payload, or name the type, as in #[wsx::handler(\"{}\")]",
            name.to_string().strip_prefix("on_").unwrap_or(&name.to_string())
        );
        return quote_spanned! {span=>
            const __TYPE: &str = #p::first(#found, "");
            const HANDLER_TYPE: () = #p::ensure(!#p::same(__TYPE, ""), #why.as_bytes());
        };
    };
    if RESERVED.contains(&&*literal.value()) {
        return quote!(const __TYPE: &str = #literal;);
    }
    let span = literal.span();
    let p = respan(p, span);
    quote_spanned! {span=>
        const __TYPE: &str = #literal;
        const HANDLER_TYPE: () = #p::ensure_type(__TYPE, #p::first(#found, __TYPE));
    }
}

/// A frame carries one payload: the second one is blamed, and any where there is no envelope. By probes, so that a type
/// that is no argument at all is reported once, where it is drawn.
fn payload_checks(args: &Args, p: &TokenStream, name: &Ident, arguments: &[Argument<'_>]) -> TokenStream {
    let reserved = args.reserved().filter(|text| text != "__unknown__");
    let why = match &reserved {
        Some(reserved) => format!("a handler of `{reserved}` has no payload: there is no envelope to take it from"),
        None => format!("`{name}` takes a second payload here, but a message carries one"),
    };
    let allowed = reserved.is_none();
    // The first argument can only be a payload too many where there may be none.
    let suspects = arguments.iter().enumerate().skip(usize::from(allowed));
    let checks = suspects.map(|(at, argument)| {
        let (span, ty) = (argument.span(), &argument.outside);
        let p = respan(p, span);
        let label = format_ident!("HANDLER_ARGUMENT_{}", at + 1);
        let holds = if allowed {
            let before = arguments[..at].iter().map(|argument| &argument.outside);
            quote!(!(#p::Probe::<#ty>::PAYLOAD && #p::any(&[#(#p::Probe::<#before>::PAYLOAD),*])))
        } else {
            quote!(!#p::Probe::<#ty>::READS)
        };
        quote_spanned!(span=> const #label: () = #p::ensure(#holds, #why.as_bytes());)
    });
    quote!(#(#checks)*)
}

/// Draws the arguments outside of the future, so that a payload that does not fit costs no box, and calls the function.
fn call(args: &Args, p: &TokenStream, signature: &Signature, arguments: &[Argument<'_>]) -> TokenStream {
    let name = &signature.ident;
    // One identifier for all its uses: under `macro_rules`, a name that is spanned at the user's token is another name.
    let context = Ident::new("__context", Span::call_site());
    let variables: Vec<Ident> = arguments
        .iter()
        .enumerate()
        .map(|(at, argument)| format_ident!("__argument_{at}", span = argument.span()))
        .collect();
    let draws = variables.iter().zip(arguments).map(|(variable, argument)| {
        let span = argument.span();
        let p = respan(p, span);
        // A lifetime that the handler names is unknown here.
        let ty_here = with_lifetimes(argument.ty.to_token_stream(), "'_");
        let drawn_from = argument.drawn_from(&p);
        quote_spanned! {span=>
            let #variable: #ty_here = match #p::Handling::<#drawn_from>::extract::<#ty_here, _>(#context) {
                #p::Result::Ok(value) => value,
                #p::Result::Err(error) => return #p::Outcome::Ready(#p::Result::Err(error)),
            };
        }
    });
    let returned: Span = match &signature.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, ty) => type_span(ty),
    };
    // A variable spanned at the return type: a value that cannot be returned is blamed there.
    let value = Ident::new("__returned", returned);
    let reply = {
        let p = respan(p, returned);
        if args.reserved().as_deref() == Some("__close__") {
            quote_spanned!(returned=> #p::no_reply(#value))
        } else {
            quote_spanned!(returned=> #p::reply::<__Endpoint, _, _>(#context.role(), #value))
        }
    };
    let call = quote!(#name(#(#variables),*));
    let body = if signature.asyncness.is_some() {
        // Spanned at the function's name: this is where "future is not `Send`" shows.
        let p = respan(p, name.span());
        quote_spanned! {name.span()=>
            #p::Handling::<__On>::pending(async move {
                let #value = #call.await;
                #reply
            })
        }
    } else {
        quote! {
            let #value = #call;
            #p::Outcome::Ready(#reply)
        }
    };
    quote! {
        fn __call<'f>(#context: &'f #p::Context<'f, __On>) -> #p::Outcome<'f> {
            #(#draws)*
            #body
        }
    }
}
