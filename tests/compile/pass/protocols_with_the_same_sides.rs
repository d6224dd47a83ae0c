//! Protocols in different scopes have sides of the same names. A side's name may come from a macro.
use wsx_tests::fleet::{Cmd, Health};

wsx::protocol! {
    pub Fleet v1 { Edge -> Server: Health; Server -> Edge: Cmd; }
}
mod inner {
    use wsx_tests::fleet::{Cmd, Health};
    wsx::protocol! {
        pub Fleet v1 { Edge -> Server: Cmd; Server -> Edge: Health; }
    }
}
macro_rules! with_center {
    ($side:ident, $message:ident) => {
        wsx::protocol! {
            Other v1 { $side -> Center: $message; Center -> $side: Cmd; }
        }
    };
}
with_center!(Meter, Health);

fn main() {
    wsx::protocol! {
        Local v1 { Edge -> Server: Health, Cmd; Edge <-> Third: Cmd; }
    }
    assert_eq!(Local::DESCRIPTION.messages.len(), 4);
    assert_ne!(Fleet::FINGERPRINT, inner::Fleet::FINGERPRINT);
    assert_eq!(Other::DESCRIPTION.messages[0].from, "Meter");
    assert_eq!(format!("{Meter:?} {:?}", inner::Edge), "Meter Edge");
}
