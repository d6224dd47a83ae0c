//! Depends on the plugin without a `use`, so the linker leaves it out.
fn main() {
    print!("{}", wsx_linking_endpoint::report());
}
