//! Does nothing. Cargo accepts the key `links` of the manifest only with a build script.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
