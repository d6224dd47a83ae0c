#[wsx::handler("health")]
fn on_health(_ok: bool) -> Result<(), Box<dyn std::error::Error>> {
    Ok(())
}

fn main() {}
