//! Handlers in a static library that a C program links. C's linker takes from it the objects that are referred to, and
//! nothing refers to one that only holds collected handlers.
//!
//! The one crate here with `unsafe` in it: exporting a symbol needs it.

/// A module of its own, and so an object of its own in the development profile.
mod collected {
    #[wsx::handler("archived")]
    fn on_archived(_n: u8) {}
}

/// Prints what is handled.
#[unsafe(no_mangle)]
pub extern "C" fn wsx_linking_report() {
    print!("{}", wsx_linking_endpoint::report());
}
