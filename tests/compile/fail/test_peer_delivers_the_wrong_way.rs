use wsx_tests::fleet::{Cmd, Open};

fn deliver(peer: &mut wsx::testing::TestPeer<Open>) {
    drop(peer.deliver(&Cmd { reboot: true }));
}

fn main() {}
