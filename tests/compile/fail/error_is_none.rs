struct NotAnError;

#[wsx::handler("health")]
fn on_health(_ok: bool) -> Result<(), NotAnError> {
    Ok(())
}

fn main() {}
