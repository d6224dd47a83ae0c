struct Station;

fn main() {
    drop(wsx::Hub::builder().endpoint(Station).config(wsx::Config::edge()).build());
}
