use wsx_tests::fleet::Telemetry;

wsx::protocol! {
    Meter v1 {
        Edge <-> Server: Telemetry;
    }
}

fn main() {}
