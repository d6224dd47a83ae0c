#[wsx::handler]
fn on_number(n: u32) {
    println!("{n}");
}

fn main() {}
