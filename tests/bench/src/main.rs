//! t
mod peers;
fn main() { let p = peers::Peer::ALL.into_iter().find(|p| p.name() == std::env::args().nth(1).unwrap()).unwrap(); println!("{:?}", p.prepare()); peers::serve(p).unwrap(); }
