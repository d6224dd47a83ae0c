//! Depends on the plugin and never names it, so the linker leaves it out.
fn main() {
    print!("{}", wsx_linking_endpoint::report());
}
