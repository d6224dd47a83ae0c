//! Has a `use` of the plugin, which is enough to link it.
use wsx_linking_plugin as _;

fn main() {
    print!("{}", wsx_linking_endpoint::report());
}
