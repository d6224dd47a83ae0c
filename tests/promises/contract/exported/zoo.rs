//! A protocol with every shape that serde writes, and values of it.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    num::{NonZeroU8, NonZeroU64},
    time::Duration,
};
use wsx::{Envelope, Message};

wsx::protocol! {
    /// Keepers | and their office. See [`Animals`].
    ///
    /// A `*/` ends a comment elsewhere.
    pub(super) Zoo v2 {
        Keeper -> Office: Weighed, Moved, Feed -> Fed | NotHungry;
        Office -> Keeper: Animals, Names, Count -> Counted, Closed;
        Keeper <-> Office: Note, Signed, Seen;
    }
}

/// Numbers of each width.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[wsx(delivery = at_least_once, ttl = "1h", full = drop_oldest)]
pub(super) struct Weighed {
    pub small: (u8, i8, u16, i16, u32, i32),
    pub large: (u64, i64, u128, i128, usize, isize),
    pub fraction: f64,
    pub half: f32,
    pub not_zero: (NonZeroU8, NonZeroU64),
    pub maybe: Option<u64>,
    pub took: Duration,
}

/// Where an animal is. It has an empty message when it left, and so on, as */ in a comment.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[wsx(delivery = latest, key = animal_id)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moved {
    pub animal_id: u64,
    pub left: bool,
    #[serde(flatten)]
    pub position: Position,
    #[serde(flatten)]
    pub mood: Mood,
    #[serde(flatten)]
    pub guest: Option<Guest>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Position {
    pub north: f64,
    pub east: f64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Guest {
    pub guest_of: String,
}

/// A tag inside.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "mood", rename_all = "snake_case")]
pub(super) enum Mood {
    Calm,
    /// It is awake.
    Awake {
        /// Since when, in milliseconds.
        since_ms: u64,
    },
    Other(Described),
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Described {
    pub text: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[serde(deny_unknown_fields)]
pub(super) struct Feed {
    /// When: 2026-11-30T12:00:00Z.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<Food>,
    #[serde(default)]
    pub hurry: bool,
    pub remark: Option<String>,
}

/// One of each kind.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) enum Food {
    /// Nothing but water.
    Water,
    Hay,
    Grams(u64),
    Pieces(u8, String),
    Mixed {
        /// The recipe.
        recipe: String,
        parts: Vec<Self>,
    },
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
pub(super) struct Fed(pub Page<u64>, pub Page<Kind>);

#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Message)]
#[serde(tag = "t", content = "c")]
pub(super) enum NotHungry {
    Sleeps,
    Ate(u64),
    Both(u8, bool),
    Ill { since: String },
}

/// All animals, by what they are.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[wsx(delivery = state)]
pub(super) struct Animals {
    pub cages: Cage,
    pub by_name: BTreeMap<String, Kind>,
    pub by_number: BTreeMap<u32, Option<Kind>>,
    pub by_floor: BTreeMap<i64, [i32; 3]>,
    #[serde(rename = "a \"b\" | c")]
    pub odd: (),
    #[serde(rename = "type")]
    pub kind: char,
    pub one: first::Stamp,
    pub other: second::Stamp,
    pub taken: Int64,
    pub either: Vec<Either>,
    pub longest: [u8; 32],
    #[schemars(extend("x-wsx-any" = true))]
    pub extra: serde_json::Value,
    pub nothing: Nothing,
    #[serde(skip)]
    #[expect(dead_code, reason = "it is in no JSON")]
    pub hidden: u8,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Cage {
    pub kind: Kind,
    /// Cages in the cage.
    pub inside: Vec<Self>,
    pub beside: Option<Box<Self>>,
}

#[derive(Serialize, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// It eats hay.
    BlackBear,
    Lion,
}

/// Without a tag.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Either {
    Number(i64),
    Text(String),
    Pair(u8, u8),
    Named { name: String },
    Nothing,
}

/// A name of TypeScript.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Int64(pub u8);

#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Nothing {}

pub(super) mod first {
    /// The first type of this name.
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    pub(in crate::exported) struct Stamp {
        pub a: u8,
    }
}
pub(super) mod second {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
    pub(in crate::exported) struct Stamp {
        pub b: Option<u8>,
    }
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
pub(super) struct Names {
    pub first: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<u32>,
    #[serde(flatten)]
    pub others: BTreeMap<String, u32>,
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
pub(super) struct Count;

#[derive(Serialize, Deserialize, JsonSchema, Message)]
pub(super) struct Counted(pub u64);

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[wsx(type = "closed: now/soon")]
pub(super) struct Closed {}

/// Goes both ways.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
pub(super) struct Note {
    pub text: String,
    pub reply_to: Option<second::Stamp>,
    #[serde(default = "limit")]
    pub limit: u64,
}

/// Differs in both directions by what is inside of it.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
pub(super) struct Signed {
    pub stamp: second::Stamp,
}

/// With the fields of a variant, or without them.
#[derive(Serialize, Deserialize, JsonSchema, Message)]
pub(super) struct Seen {
    pub at: u8,
    #[serde(flatten)]
    pub mood: Option<Mood>,
}

fn limit() -> u64 {
    u64::MAX
}

/// A value as Rust writes it.
pub(super) struct Sample {
    /// The type in TypeScript.
    pub of: &'static str,
    /// The name of its message in AsyncAPI.
    pub message: &'static str,
    pub data: String,
    /// As it is on the wire.
    pub envelope: String,
}

fn sample<M: Message + Serialize>(of: &'static str, message: &'static str, value: M) -> Sample {
    let data = serde_json::to_string(&value).unwrap();
    let envelope = serde_json::to_string(&Envelope::from(value)).unwrap();
    // The keys of a request and of a reply. A reader ignores keys that it does not know.
    let envelope = envelope.replacen('{', "{\"id\":7,\"re\":7,", 1);
    Sample { of, message, data, envelope }
}

fn sample_of_refusal(value: &NotHungry) -> Sample {
    let data = serde_json::to_string(value).unwrap();
    let envelope = format!("{{\"type\":\"feed\",\"re\":7,\"err\":{{\"code\":\"not_hungry\",\"data\":{data}}}}}");
    Sample { of: "requests.feed.refusal", message: "keeper.feed.not_hungry", data, envelope }
}

/// Values of each message.
pub(super) fn samples() -> Vec<Sample> {
    let weighed = |maybe| Weighed {
        small: (u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN),
        large: (u64::MAX, i64::MIN, u128::MAX, i128::MIN, usize::MAX, isize::MIN),
        fraction: -0.1,
        half: 0.5,
        not_zero: (NonZeroU8::MIN, NonZeroU64::MAX),
        maybe,
        took: Duration::from_millis(1_500),
    };
    let moved = |mood, guest| Moved {
        animal_id: 1 << 60,
        left: false,
        position: Position { north: 1.5, east: 2.0 },
        mood,
        guest,
    };
    let feed = |with, remark| Feed { at: "2026-11-30T12:00:00Z".to_owned(), with, hurry: true, remark };
    let cage = |inside, beside| Cage { kind: Kind::Lion, inside, beside };
    let animals = Animals {
        cages: cage(vec![cage(vec![], None)], Some(Box::new(cage(vec![], None)))),
        by_name: [("a".to_owned(), Kind::BlackBear)].into(),
        by_number: [(1, Some(Kind::Lion)), (u32::MAX, None)].into(),
        by_floor: [(-1, [1, 2, 3])].into(),
        odd: (),
        kind: '\u{1f981}',
        one: first::Stamp { a: 1 },
        other: second::Stamp { b: None },
        taken: Int64(3),
        either: vec![
            Either::Number(i64::MIN),
            Either::Text("a".to_owned()),
            Either::Pair(1, 2),
            Either::Named { name: "b".to_owned() },
            Either::Nothing,
        ],
        longest: [0; 32],
        extra: serde_json::json!({"any": [1, null]}),
        nothing: Nothing {},
        hidden: 1,
    };
    let food = vec![
        Food::Water,
        Food::Hay,
        Food::Grams(u64::MAX),
        Food::Pieces(2, "carrot".to_owned()),
        Food::Mixed { recipe: "a".to_owned(), parts: vec![Food::Hay] },
    ];
    let fed = Fed(Page { items: vec![1, u64::MAX], next: Some(2) }, Page { items: vec![Kind::Lion], next: None });
    let note = |reply_to| Note { text: "a\u{2028}b".to_owned(), reply_to, limit: 5 };
    vec![
        sample("sends.weighed", "keeper.weighed", weighed(None)),
        sample("sends.weighed", "keeper.weighed", weighed(Some(u64::MAX))),
        sample("sends.moved", "keeper.moved", moved(Mood::Calm, None)),
        sample("sends.moved", "keeper.moved", moved(Mood::Awake { since_ms: 1 }, Some(Guest { guest_of: "a".into() }))),
        sample("sends.moved", "keeper.moved", moved(Mood::Other(Described { text: "odd".into() }), None)),
        sample("requests.feed.request", "keeper.feed", feed(vec![], None)),
        sample("requests.feed.request", "keeper.feed", feed(food, Some("slowly".to_owned()))),
        sample("requests.feed.reply", "keeper.feed.fed", fed),
        sample_of_refusal(&NotHungry::Sleeps),
        sample_of_refusal(&NotHungry::Ate(1)),
        sample_of_refusal(&NotHungry::Both(1, true)),
        sample_of_refusal(&NotHungry::Ill { since: "yesterday".to_owned() }),
        sample("receives.animals", "keeper.animals", animals),
        sample(
            "receives.names",
            "keeper.names",
            Names { first: "a".to_owned(), second: Some(1), others: [("b".to_owned(), 2)].into() },
        ),
        sample("receives.names", "keeper.names", Names { first: "a".to_owned(), second: None, others: [].into() }),
        sample("answers.count.request", "keeper.count", Count),
        sample("answers.count.reply", "keeper.count.counted", Counted(1 << 60)),
        sample("receives.closed: now/soon", "keeper.closed__now_soon", Closed {}),
        sample("receives.note", "keeper.note_", note(None)),
        sample("receives.signed", "keeper.signed_", Signed { stamp: second::Stamp { b: None } }),
        sample("sends.seen", "keeper.seen", Seen { at: 1, mood: None }),
        sample("receives.seen", "keeper.seen", Seen { at: 1, mood: Some(Mood::Awake { since_ms: 2 }) }),
        sample("sends.note", "keeper.note", note(Some(second::Stamp { b: Some(1) }))),
    ]
}
