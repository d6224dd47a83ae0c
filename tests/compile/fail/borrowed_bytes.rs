#[derive(serde::Deserialize, wsx::Message)]
struct Picture<'a> {
    pixels: &'a [u8],
}

fn main() {}
