//! Handlers in a static library that a C program links. The C linker takes only the objects that
//! something refers to, and nothing refers to an object that only holds collected handlers.
//!
//! This is the only crate here with `unsafe`: exporting a symbol needs it.

/// A module of its own, and so an object of its own in the development profile.
mod collected {
    #[wsx::handler("archived")]
    fn on_archived(_n: u8) {}
}

/// Prints the handled types.
#[unsafe(no_mangle)]
pub extern "C" fn wsx_linking_report() {
    print!("{}", wsx_linking_endpoint::report());
}
