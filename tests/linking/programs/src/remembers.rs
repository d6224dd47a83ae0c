//! Names the plugin, which is all that it takes.
use wsx_linking_plugin as _;

fn main() {
    print!("{}", wsx_linking_endpoint::report());
}
