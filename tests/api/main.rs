//! Prints the public API of a crate, one item a line, from the JSON that rustdoc wrote.
//! `tests/scripts/public_api.sh` compares the lines with the committed listing.
use public_api::Builder;
use std::{
    env,
    io::{self, Write},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let json = env::args_os().nth(1).ok_or("usage: public_api RUSTDOC-JSON")?;
    // Blanket and auto trait implementations are the same few lines for each type. Derived ones
    // stay: a type that loses its `Clone` breaks its users.
    let api = Builder::from_rustdoc_json(json).omit_blanket_impls(true).omit_auto_trait_impls(true).build()?;
    let mut out = io::stdout().lock();
    for item in api.items() {
        let item = item.to_string();
        // Each derived `PartialEq` brings this trait of the compiler's own.
        if item.contains(" core::marker::StructuralPartialEq for ") {
            continue;
        }
        // The library forgets the colon of a bound such as `Future<Output: IntoReply>`.
        writeln!(out, "{}", item.replace("<Outputwsx::", "<Output: wsx::"))?;
    }
    Ok(())
}
