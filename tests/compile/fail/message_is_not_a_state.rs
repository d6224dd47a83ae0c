use wsx::message::State;

#[derive(wsx::Message)]
#[wsx(delivery = latest)]
struct Mode(u32);

fn set<M: State>(_message: M) {}

fn main() {
    set(Mode(1));
}
