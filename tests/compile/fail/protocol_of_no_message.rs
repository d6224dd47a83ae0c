struct Health;

wsx::protocol! {
    Fleet v1 {
        Edge <-> Server: Health;
    }
}

#[derive(wsx::Endpoint)]
#[wsx(side = Server)]
struct Station;

fn main() {}
