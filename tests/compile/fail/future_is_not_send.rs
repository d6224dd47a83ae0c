#[wsx::handler("health")]
async fn on_health(_ok: bool) {
    let count = std::rc::Rc::new(1);
    std::future::ready(()).await;
    drop(count);
}

fn main() {}
