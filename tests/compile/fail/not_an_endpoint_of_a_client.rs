struct Station;

fn main() {
    drop(wsx::Client::builder("ws://127.0.0.1:9001").endpoint(Station).config(wsx::Config::edge()).build());
}
