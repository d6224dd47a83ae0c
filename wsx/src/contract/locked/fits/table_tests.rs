//! Row U2: a table of changes with their verdicts: whether new readers understand old writers, and
//! old readers new writers. Each verdict is proved by decoding the messages of one version with the
//! types of the other.
#![expect(unnameable_types, reason = "the types of the rows are in modules of functions")]
#![expect(unreachable_pub, reason = "`pub` is shorter in the rows, whose types are in modules of functions")]
use super::{Sides, misfits};
use crate::contract::describe::{Contract, Describer};
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

/// A verdict about one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Every message is understood.
    Fits,
    /// One is not.
    Breaks,
    /// Each is understood, by an option of serde that is not in a schema. The check reports a
    /// break.
    Careful,
}
use Verdict::{Breaks, Careful, Fits};

/// What the check says: whether a reader of `R` understands a writer of `W`.
fn says<W: JsonSchema, R: JsonSchema>() -> Vec<String> {
    let (mut written, mut read) = (Describer::new(Contract::Written), Describer::new(Contract::Read));
    let one = written.shape("m", SchemaGenerator::subschema_for::<W>).unwrap();
    let other = read.shape("m", SchemaGenerator::subschema_for::<R>).unwrap();
    let sides = Sides { written: &written.types, read: &read.types };
    misfits(&one, &other, sides).into_iter().map(|misfit| format!("{}: {}", misfit.path, misfit.what)).collect()
}

fn prove<W: Serialize + JsonSchema, R: DeserializeOwned + JsonSchema>(way: &str, samples: &[W], expected: Verdict) {
    let said = says::<W, R>();
    assert_eq!(said.is_empty(), expected == Fits, "{way}: the check says {said:?}");
    let decoded = samples.iter().map(|sample| {
        // From a text, as on the wire.
        let json = serde_json::to_string(sample).unwrap();
        serde_json::from_str::<R>(&json).map(drop).map_err(|error| format!("{json}: {error}"))
    });
    let failed: Vec<_> = decoded.filter_map(Result::err).collect();
    assert_eq!(failed.is_empty(), expected != Breaks, "{way}: decoding says {failed:?}");
    assert!(!samples.is_empty());
}

/// One change: its name, the verdicts about new readers of old writers and about old readers of new
/// writers, and the type `M` of each version with messages that show the verdict.
macro_rules! changes {
    ($($name:ident: $forward:ident, $backward:ident;
        { $($old:item)* } $(type { $($old_type:item)* })? [$($before:expr),* $(,)?]
        { $($new:item)* } $(type { $($new_type:item)* })? [$($after:expr),* $(,)?])*) => {$(
        #[test]
        fn $name() {
            mod old {
                use super::prelude::*;
                $(#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)] $old)*
                $($($old_type)*)?
                pub(in crate::contract) fn samples() -> Vec<M> {
                    vec![$($before),*]
                }
            }
            mod new {
                use super::prelude::*;
                $(#[derive(Serialize, Deserialize, JsonSchema, Clone, PartialEq, Debug)] $new)*
                $($($new_type)*)?
                pub(in crate::contract) fn samples() -> Vec<M> {
                    vec![$($after),*]
                }
            }
            prove::<old::M, old::M>("the old version reads itself", &old::samples(), Fits);
            prove::<new::M, new::M>("the new version reads itself", &new::samples(), Fits);
            prove::<old::M, new::M>("new readers of old writers", &old::samples(), $forward);
            prove::<new::M, old::M>("old readers of new writers", &new::samples(), $backward);
        }
    )*};
}

mod prelude {
    pub(in crate::contract) use schemars::JsonSchema;
    pub(in crate::contract) use serde::{Deserialize, Serialize};
    pub(in crate::contract) use std::collections::{BTreeMap, BTreeSet};

    pub(in crate::contract) fn map<K: Ord, V>(key: K, value: V) -> BTreeMap<K, V> {
        BTreeMap::from([(key, value)])
    }

    pub(in crate::contract) fn text(text: &str) -> String {
        text.to_owned()
    }
}

// Fields.
changes! {
    a_required_field_is_added: Breaks, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: u8, b: u8 } } [M { a: 1, b: 2 }]
    an_optional_field_is_added: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: u8, b: Option<u8> } } [M { a: 1, b: None }, M { a: 1, b: Some(2) }]
    a_field_with_a_default_is_added: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: u8, #[serde(default)] b: u8 } } [M { a: 1, b: 2 }]
    a_struct_with_defaults_gets_a_field: Fits, Fits;
        { #[derive(Default)] #[serde(default)] pub struct M { a: u8 } } [M { a: 1 }]
        { #[derive(Default)] #[serde(default)] pub struct M { a: u8, b: u8 } } [M { a: 1, b: 2 }]
    a_field_that_is_never_read_is_added: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: u8, #[serde(skip_deserializing)] b: u8 } } [M { a: 1, b: 2 }]
    a_field_that_is_skipped_is_added: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: u8, #[serde(skip)] b: u8 } } [M { a: 1, b: 2 }]
    a_required_field_is_removed: Fits, Breaks;
        { pub struct M { a: u8, b: u8 } } [M { a: 1, b: 2 }]
        { pub struct M { a: u8 } } [M { a: 1 }]
    an_optional_field_is_removed: Fits, Fits;
        { pub struct M { a: u8, b: Option<u8> } } [M { a: 1, b: Some(2) }]
        { pub struct M { a: u8 } } [M { a: 1 }]
    a_required_field_gets_a_default: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { #[serde(default)] a: u8 } } [M { a: 0 }]
    a_default_is_taken_away: Fits, Fits;
        { pub struct M { #[serde(default)] a: u8 } } [M { a: 0 }]
        { pub struct M { a: u8 } } [M { a: 1 }]
    a_field_may_be_left_out: Fits, Breaks;
        { pub struct M { a: String } } [M { a: text("x") }]
        { pub struct M { #[serde(default, skip_serializing_if = "String::is_empty")] a: String } } [M { a: text("") }]
    a_field_with_a_default_may_be_left_out: Fits, Fits;
        { pub struct M { #[serde(default)] a: String } } [M { a: text("") }]
        { pub struct M { #[serde(default, skip_serializing_if = "String::is_empty")] a: String } } [M { a: text("") }]
    an_option_becomes_required: Breaks, Fits;
        { pub struct M { a: Option<u8> } } [M { a: None }, M { a: Some(1) }]
        { pub struct M { a: u8 } } [M { a: 1 }]
    a_required_field_becomes_an_option: Fits, Breaks;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: Option<u8> } } [M { a: None }]
    an_option_that_is_left_out_becomes_a_default: Careful, Fits;
        { pub struct M { #[serde(skip_serializing_if = "Option::is_none")] a: Option<u8> } }
        [M { a: None }, M { a: Some(1) }]
        { pub struct M { #[serde(default)] a: u8 } } [M { a: 0 }]
    an_option_that_is_null_becomes_a_default: Breaks, Fits;
        { pub struct M { a: Option<u8> } } [M { a: None }]
        { pub struct M { #[serde(default)] a: u8 } } [M { a: 0 }]
    a_field_is_renamed: Breaks, Breaks;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { b: u8 } } [M { b: 1 }]
    a_field_is_renamed_with_an_alias: Careful, Breaks;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { #[serde(alias = "a")] b: u8 } } [M { b: 1 }]
    a_field_is_renamed_in_rust_alone: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { #[serde(rename = "a")] b: u8 } } [M { b: 1 }]
    all_fields_are_renamed: Breaks, Breaks;
        { pub struct M { in_use: u8 } } [M { in_use: 1 }]
        { #[serde(rename_all = "camelCase")] pub struct M { in_use: u8 } } [M { in_use: 1 }]
    a_rule_of_names_changes_no_name: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { #[serde(rename_all = "camelCase")] pub struct M { a: u8 } } [M { a: 1 }]
    fields_are_moved: Fits, Fits;
        { pub struct M { a: u8, b: String } } [M { a: 1, b: text("x") }]
        { pub struct M { b: String, a: u8 } } [M { b: text("x"), a: 1 }]
    unknown_fields_are_rejected_and_there_are_none: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { #[serde(deny_unknown_fields)] pub struct M { a: u8 } } [M { a: 1 }]
    a_field_is_removed_and_unknown_ones_are_rejected: Breaks, Fits;
        { pub struct M { a: u8, b: Option<u8> } } [M { a: 1, b: None }]
        { #[serde(deny_unknown_fields)] pub struct M { a: u8 } } [M { a: 1 }]
    a_field_is_added_that_old_readers_reject: Fits, Breaks;
        { #[serde(deny_unknown_fields)] pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: u8, b: Option<u8> } } [M { a: 1, b: None }]
    a_field_is_not_written_any_more: Fits, Fits;
        { pub struct M { a: Option<u8> } } [M { a: Some(1) }]
        { pub struct M { #[serde(skip_serializing)] a: Option<u8> } } [M { a: Some(1) }]
}

// Numbers and texts.
changes! {
    an_integer_becomes_wider: Fits, Breaks;
        { pub struct M { a: u8 } } [M { a: 255 }]
        { pub struct M { a: u32 } } [M { a: 300 }]
    an_integer_becomes_narrower: Breaks, Fits;
        { pub struct M { a: u32 } } [M { a: 300 }]
        { pub struct M { a: u8 } } [M { a: 255 }]
    an_integer_gets_a_sign_and_more_bits: Fits, Breaks;
        { pub struct M { a: u32 } } [M { a: u32::MAX }]
        { pub struct M { a: i64 } } [M { a: -1 }]
    an_integer_loses_its_sign: Breaks, Breaks;
        { pub struct M { a: i32 } } [M { a: -1 }]
        { pub struct M { a: u32 } } [M { a: u32::MAX }]
    a_long_integer_gets_a_sign: Breaks, Breaks;
        { pub struct M { a: u64 } } [M { a: u64::MAX }]
        { pub struct M { a: i64 } } [M { a: -1 }]
    an_integer_of_the_machine_gets_a_width: Fits, Fits;
        { pub struct M { a: usize } } [M { a: 1 }]
        { pub struct M { a: u64 } } [M { a: 1 }]
    an_integer_becomes_a_float: Fits, Breaks;
        { pub struct M { a: u32 } } [M { a: 1 }]
        { pub struct M { a: f64 } } [M { a: 1.5 }]
    a_float_becomes_an_integer: Breaks, Fits;
        { pub struct M { a: f64 } } [M { a: 1.5 }]
        { pub struct M { a: u32 } } [M { a: 1 }]
    a_float_becomes_more_exact: Fits, Fits;
        { pub struct M { a: f32 } } [M { a: 0.1 }]
        { pub struct M { a: f64 } } [M { a: 0.1 }]
    zero_is_excluded: Breaks, Fits;
        { pub struct M { a: u8 } } [M { a: 0 }]
        { pub struct M { a: std::num::NonZeroU8 } } [M { a: 1.try_into().unwrap() }]
    zero_is_excluded_from_a_signed_integer: Breaks, Fits;
        { pub struct M { a: i32 } } [M { a: 0 }]
        { pub struct M { a: std::num::NonZeroI32 } } [M { a: 1.try_into().unwrap() }, M { a: (-1).try_into().unwrap() }]
    a_limit_that_serde_does_not_check: Fits, Fits;
        { pub struct M { a: u32 } } [M { a: 300 }]
        { pub struct M { #[schemars(range(max = 100))] a: u32 } } [M { a: 300 }]
    a_limit_does_not_make_an_integer_narrow: Breaks, Fits;
        { pub struct M { #[schemars(range(max = 100))] a: u32 } } [M { a: 300 }]
        { pub struct M { a: u8 } } [M { a: 1 }]
    a_number_becomes_a_text: Breaks, Breaks;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: String } } [M { a: text("1") }]
    a_flag_becomes_a_number: Breaks, Breaks;
        { pub struct M { a: bool } } [M { a: true }]
        { pub struct M { a: u8 } } [M { a: 1 }]
    a_character_becomes_a_text: Fits, Breaks;
        { pub struct M { a: char } } [M { a: 'x' }]
        { pub struct M { a: String } } [M { a: text("xy") }]
    nothing_becomes_an_option: Fits, Breaks;
        { pub struct M { a: () } } [M { a: () }]
        { pub struct M { a: Option<u8> } } [M { a: Some(1) }]
    an_address_becomes_a_text: Fits, Breaks;
        { pub struct M { a: std::net::IpAddr } } [M { a: [127, 0, 0, 1].into() }]
        { pub struct M { a: String } } [M { a: text("here") }]
    a_text_is_boxed: Fits, Fits;
        { pub struct M { a: String } } [M { a: text("x") }]
        { pub struct M { a: Box<str> } } [M { a: "x".into() }]
}

// Lists and maps.
changes! {
    one_becomes_a_list: Breaks, Breaks;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: Vec<u8> } } [M { a: vec![1] }]
    a_list_becomes_a_set: Fits, Fits;
        { pub struct M { a: Vec<u8> } } [M { a: vec![1, 1] }]
        { pub struct M { a: BTreeSet<u8> } } [M { a: BTreeSet::from([1]) }]
    a_list_becomes_an_array: Breaks, Fits;
        { pub struct M { a: Vec<u8> } } [M { a: vec![1, 2, 3] }]
        { pub struct M { a: [u8; 2] } } [M { a: [1, 2] }]
    an_array_becomes_a_tuple: Fits, Fits;
        { pub struct M { a: [u8; 2] } } [M { a: [1, 2] }]
        { pub struct M { a: (u8, u8) } } [M { a: (1, 2) }]
    a_tuple_becomes_a_list: Fits, Breaks;
        { pub struct M { a: (u8, u8) } } [M { a: (1, 2) }]
        { pub struct M { a: Vec<u8> } } [M { a: vec![1] }]
    a_tuple_becomes_longer: Breaks, Breaks;
        { pub struct M { a: (u8, String) } } [M { a: (1, text("x")) }]
        { pub struct M { a: (u8, String, bool) } } [M { a: (1, text("x"), true) }]
    the_elements_become_wider: Fits, Breaks;
        { pub struct M { a: Vec<u8> } } [M { a: vec![1] }]
        { pub struct M { a: Vec<u32> } } [M { a: vec![300] }]
    the_elements_stop_being_options: Breaks, Fits;
        { pub struct M { a: Vec<Option<u8>> } } [M { a: vec![None] }]
        { pub struct M { a: Vec<u8> } } [M { a: vec![1] }]
    the_values_become_wider: Fits, Breaks;
        { pub struct M { a: BTreeMap<String, u8> } } [M { a: map(text("x"), 1) }]
        { pub struct M { a: BTreeMap<String, u32> } } [M { a: map(text("x"), 300) }]
    the_keys_become_integers: Breaks, Fits;
        { pub struct M { a: BTreeMap<String, u8> } } [M { a: map(text("x"), 1) }]
        { pub struct M { a: BTreeMap<u32, u8> } } [M { a: map(7, 1) }]
    the_keys_become_texts: Fits, Breaks;
        { pub struct M { a: BTreeMap<u32, u8> } } [M { a: map(7, 1) }]
        { pub struct M { a: BTreeMap<String, u8> } } [M { a: map(text("x"), 1) }]
    the_keys_get_a_sign: Fits, Breaks;
        { pub struct M { a: BTreeMap<u32, u8> } } [M { a: map(7, 1) }]
        { pub struct M { a: BTreeMap<i32, u8> } } [M { a: map(-7, 1) }]
    the_keys_become_variants: Breaks, Fits;
        { pub struct M { a: BTreeMap<String, u8> } } [M { a: map(text("C"), 1) }]
        { pub struct M { a: BTreeMap<Kind, u8> } #[derive(PartialOrd, Eq, Ord)] pub enum Kind { A, B } }
        [M { a: map(Kind::A, 1) }]
    a_key_is_added: Fits, Breaks;
        { pub struct M { a: BTreeMap<Kind, u8> } #[derive(PartialOrd, Eq, Ord)] pub enum Kind { A, B } }
        [M { a: map(Kind::A, 1) }]
        { pub struct M { a: BTreeMap<Kind, u8> } #[derive(PartialOrd, Eq, Ord)] pub enum Kind { A, B, C } }
        [M { a: map(Kind::C, 1) }]
    a_struct_becomes_a_map: Fits, Breaks;
        { pub struct M { a: Inner } pub struct Inner { pub x: u8 } } [M { a: Inner { x: 1 } }]
        { pub struct M { a: BTreeMap<String, u8> } } [M { a: map(text("y"), 1) }]
    a_map_becomes_a_struct_of_options: Fits, Breaks;
        { pub struct M { a: BTreeMap<String, u8> } } [M { a: map(text("y"), 1) }, M { a: map(text("x"), 1) }]
        { pub struct M { a: Inner } pub struct Inner { pub x: Option<u8> } } [M { a: Inner { x: None } }]
}

// Types inside of types.
changes! {
    a_type_inside_gets_a_required_field: Breaks, Fits;
        { pub struct M { a: Option<Vec<Inner>> } pub struct Inner { pub x: u8 } } [M { a: Some(vec![Inner { x: 1 }]) }]
        { pub struct M { a: Option<Vec<Inner>> } pub struct Inner { pub x: u8, pub y: u8 } }
        [M { a: Some(vec![Inner { x: 1, y: 2 }]) }]
    a_type_inside_has_another_name: Fits, Fits;
        { pub struct M { a: Inner } pub struct Inner { pub x: u8 } } [M { a: Inner { x: 1 } }]
        { pub struct M { a: Other } pub struct Other { pub x: u8 } } [M { a: Other { x: 1 } }]
    a_number_is_wrapped: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: Wrapped } pub struct Wrapped(pub u8); } [M { a: Wrapped(1) }]
    a_struct_is_transparent: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: Inner } #[serde(transparent)] pub struct Inner { pub x: u8 } } [M { a: Inner { x: 1 } }]
    a_type_is_boxed: Fits, Fits;
        { pub struct M { a: Inner } pub struct Inner { pub x: u8 } } [M { a: Inner { x: 1 } }]
        { pub struct M { a: Box<Inner> } pub struct Inner { pub x: u8 } } [M { a: Box::new(Inner { x: 1 }) }]
    a_type_has_an_alias: Fits, Fits;
        { pub struct M { a: f64, b: Vec<u8> } } [M { a: 0.5, b: vec![1] }]
        { pub struct M { a: Celsius, b: Bytes } } type { type Celsius = f64; type Bytes = Vec<u8>; }
        [M { a: 0.5, b: vec![1] }]
    an_instance_of_a_generic_type_changes: Fits, Breaks;
        { pub struct M { a: Of<u8> } pub struct Of<T> { pub x: T } } [M { a: Of { x: 1 } }]
        { pub struct M { a: Of<u32> } pub struct Of<T> { pub x: T } } [M { a: Of { x: 300 } }]
    a_type_becomes_generic: Fits, Fits;
        { pub struct M { a: Inner } pub struct Inner { pub x: u8 } } [M { a: Inner { x: 1 } }]
        { pub struct M { a: Of<u8> } pub struct Of<T> { pub x: T } } [M { a: Of { x: 1 } }]
    two_instances_are_exchanged: Breaks, Breaks;
        { pub struct M { a: Of<u8>, b: Of<String> } pub struct Of<T> { pub x: T } }
        [M { a: Of { x: 1 }, b: Of { x: text("x") } }]
        { pub struct M { a: Of<String>, b: Of<u8> } pub struct Of<T> { pub x: T } }
        [M { a: Of { x: text("x") }, b: Of { x: 1 } }]
    a_tuple_struct_gets_named_fields: Careful, Breaks;
        { pub struct M { a: Inner } pub struct Inner(pub u8, pub u8); } [M { a: Inner(1, 2) }]
        { pub struct M { a: Inner } pub struct Inner { pub x: u8, pub y: u8 } } [M { a: Inner { x: 1, y: 2 } }]
    a_unit_struct_gets_braces: Breaks, Breaks;
        { pub struct M { a: Inner } pub struct Inner; } [M { a: Inner }]
        { pub struct M { a: Inner } pub struct Inner {} } [M { a: Inner {} }]
    an_empty_struct_gets_an_option: Fits, Fits;
        { pub struct M {} } [M {}]
        { pub struct M { a: Option<u8> } } [M { a: None }]
    fields_are_flattened: Fits, Fits;
        { pub struct M { a: u8, x: u8 } } [M { a: 1, x: 2 }]
        { pub struct M { a: u8, #[serde(flatten)] rest: Inner } pub struct Inner { pub x: u8 } }
        [M { a: 1, rest: Inner { x: 2 } }]
    other_fields_are_collected: Fits, Fits;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: u8, #[serde(flatten)] rest: BTreeMap<String, u8> } } [M { a: 1, rest: map(text("x"), 2) }]
    other_fields_are_collected_and_one_is_no_number: Breaks, Breaks;
        { pub struct M { a: u8, b: String } } [M { a: 1, b: text("x") }]
        { pub struct M { a: u8, #[serde(flatten)] rest: BTreeMap<String, u8> } } [M { a: 1, rest: map(text("x"), 2) }]
    a_type_that_has_itself_inside_changes: Fits, Breaks;
        { pub struct M { x: u8, all: Vec<Self> } } [M { x: 1, all: vec![M { x: 2, all: vec![] }] }]
        { pub struct M { x: u32, all: Vec<Self> } } [M { x: 1, all: vec![M { x: 300, all: vec![] }] }]
    a_type_that_has_itself_inside_changes_in_an_option: Fits, Breaks;
        { pub struct M { a: Option<Vec<Tree>> } pub struct Tree { pub x: u8, pub all: Vec<Self> } }
        [M { a: Some(vec![Tree { x: 1, all: vec![] }]) }]
        { pub struct M { a: Option<Vec<Tree>> } pub struct Tree { pub x: u32, pub all: Vec<Self> } }
        [M { a: Some(vec![Tree { x: 300, all: vec![] }]) }]
    a_type_that_has_itself_inside_changes_in_a_variant: Fits, Breaks;
        { pub enum M { Plan(Tree), Stop } pub struct Tree { pub x: u8, pub all: Vec<Self> } }
        [M::Stop, M::Plan(Tree { x: 1, all: vec![] })]
        { pub enum M { Plan(Tree), Stop } pub struct Tree { pub x: u32, pub all: Vec<Self> } }
        [M::Plan(Tree { x: 300, all: vec![] })]
    a_list_of_nodes_gets_a_field: Breaks, Fits;
        { pub struct M { x: u8, next: Option<Box<Self>> } } [M { x: 1, next: Some(Box::new(M { x: 2, next: None })) }]
        { pub struct M { x: u8, y: u8, next: Option<Box<Self>> } }
        [M { x: 1, y: 1, next: Some(Box::new(M { x: 2, y: 2, next: None })) }]
    two_types_that_have_each_other_inside_change: Fits, Breaks;
        { pub struct M { a: Vec<Other> } pub struct Other { pub x: u8, pub m: Option<Box<M>> } }
        [M { a: vec![Other { x: 1, m: Some(Box::new(M { a: vec![] })) }] }]
        { pub struct M { a: Vec<Other> } pub struct Other { pub x: u32, pub m: Option<Box<M>> } }
        [M { a: vec![Other { x: 300, m: None }] }]
    a_type_that_has_itself_inside_is_renamed: Fits, Fits;
        { pub struct M { a: Tree } pub struct Tree { pub all: Vec<Self> } } [M { a: Tree { all: vec![Tree { all: vec![] }] } }]
        { pub struct M { a: Node } pub struct Node { pub all: Vec<Self> } } [M { a: Node { all: vec![Node { all: vec![] }] } }]
}

// Enums without data.
changes! {
    a_variant_is_added: Fits, Breaks;
        { pub enum M { A, B } } [M::A, M::B]
        { pub enum M { A, B, C } } [M::C]
    a_variant_is_removed: Breaks, Fits;
        { pub enum M { A, B, C } } [M::C]
        { pub enum M { A, B } } [M::A, M::B]
    a_variant_is_renamed: Breaks, Breaks;
        { pub enum M { A, B } } [M::B]
        { pub enum M { A, C } } [M::C]
    a_variant_is_renamed_in_rust_alone: Fits, Fits;
        { pub enum M { A, B } } [M::B]
        { pub enum M { A, #[serde(rename = "B")] C } } [M::C]
    a_variant_is_renamed_with_an_alias: Careful, Breaks;
        { pub enum M { A, B } } [M::B]
        { pub enum M { A, #[serde(alias = "B")] C } } [M::C]
    all_variants_are_renamed: Breaks, Breaks;
        { pub enum M { A, B } } [M::B]
        { #[serde(rename_all = "snake_case")] pub enum M { A, B } } [M::B]
    variants_are_moved: Fits, Fits;
        { pub enum M { A, B } } [M::A, M::B]
        { pub enum M { B, A } } [M::A, M::B]
    a_variant_gets_a_comment: Fits, Fits;
        { pub enum M { A, B } } [M::A, M::B]
        { pub enum M { A, /** The other one. */ B } } [M::A, M::B]
    an_enum_becomes_a_text: Fits, Breaks;
        { pub struct M { a: Kind } pub enum Kind { A, B } } [M { a: Kind::A }]
        { pub struct M { a: String } } [M { a: text("C") }]
    a_text_becomes_an_enum: Breaks, Fits;
        { pub struct M { a: String } } [M { a: text("C") }]
        { pub struct M { a: Kind } pub enum Kind { A, B } } [M { a: Kind::A }]
}

// Enums with data.
changes! {
    a_variant_gets_a_required_field: Breaks, Fits;
        { pub enum M { A, B { x: u8 } } } [M::B { x: 1 }]
        { pub enum M { A, B { x: u8, y: u8 } } } [M::B { x: 1, y: 2 }]
    a_variant_gets_an_optional_field: Fits, Fits;
        { pub enum M { A, B { x: u8 } } } [M::B { x: 1 }]
        { pub enum M { A, B { x: u8, y: Option<u8> } } } [M::B { x: 1, y: Some(2) }]
    a_variant_gets_data: Breaks, Breaks;
        { pub enum M { A, B } } [M::B]
        { pub enum M { A, B(u8) } } [M::B(1)]
    a_variant_with_data_is_added: Fits, Breaks;
        { pub enum M { A, B(u8) } } [M::A, M::B(1)]
        { pub enum M { A, B(u8), C(u8) } } [M::C(1)]
    fields_of_a_variant_are_moved: Fits, Fits;
        { pub enum M { A { x: u8, y: String } } } [M::A { x: 1, y: text("x") }]
        { pub enum M { A { y: String, x: u8 } } } [M::A { x: 1, y: text("x") }]
    elements_of_a_variant_are_moved: Breaks, Breaks;
        { pub enum M { A(u8, String) } } [M::A(1, text("x"))]
        { pub enum M { A(String, u8) } } [M::A(text("x"), 1)]
    the_fields_of_a_variant_move_into_a_struct: Fits, Fits;
        { pub enum M { A { x: u8 } } } [M::A { x: 1 }]
        { pub enum M { A(Inner) } pub struct Inner { pub x: u8 } } [M::A(Inner { x: 1 })]
    a_tagged_variant_is_added: Fits, Breaks;
        { #[serde(tag = "kind")] pub enum M { A, B { x: u8 } } } [M::A, M::B { x: 1 }]
        { #[serde(tag = "kind")] pub enum M { A, B { x: u8 }, C } } [M::C]
    a_tagged_variant_becomes_wider: Fits, Breaks;
        { #[serde(tag = "kind")] pub enum M { A, B { x: u8 } } } [M::B { x: 1 }]
        { #[serde(tag = "kind")] pub enum M { A, B { x: u32 } } } [M::B { x: 300 }]
    the_fields_of_a_tagged_variant_move_into_a_struct: Fits, Fits;
        { #[serde(tag = "kind")] pub enum M { A { x: u8 } } } [M::A { x: 1 }]
        { #[serde(tag = "kind")] pub enum M { A(Inner) } pub struct Inner { pub x: u8 } } [M::A(Inner { x: 1 })]
    the_tag_is_renamed: Breaks, Breaks;
        { #[serde(tag = "kind")] pub enum M { A, B { x: u8 } } } [M::A]
        { #[serde(tag = "sort")] pub enum M { A, B { x: u8 } } } [M::A]
    a_tag_is_added: Breaks, Breaks;
        { pub enum M { A { x: u8 } } } [M::A { x: 1 }]
        { #[serde(tag = "kind")] pub enum M { A { x: u8 } } } [M::A { x: 1 }]
    the_data_moves_under_a_key: Breaks, Breaks;
        { #[serde(tag = "kind")] pub enum M { A { x: u8 } } } [M::A { x: 1 }]
        { #[serde(tag = "kind", content = "data")] pub enum M { A { x: u8 } } } [M::A { x: 1 }]
    an_adjacent_variant_loses_its_data: Breaks, Breaks;
        { #[serde(tag = "t", content = "c")] pub enum M { A(u8), B(u8) } } [M::A(1), M::B(1)]
        { #[serde(tag = "t", content = "c")] pub enum M { A(u8), B } } [M::B]
    a_flattened_struct_becomes_an_option: Fits, Breaks;
        { pub struct M { a: u8, #[serde(flatten)] rest: Inner } pub struct Inner { pub x: u8 } }
        [M { a: 1, rest: Inner { x: 2 } }]
        { pub struct M { a: u8, #[serde(flatten)] rest: Option<Inner> } pub struct Inner { pub x: u8 } }
        [M { a: 1, rest: None }, M { a: 1, rest: Some(Inner { x: 2 }) }]
    the_fields_of_all_variants_are_renamed: Breaks, Breaks;
        { pub enum M { A { in_use: u8 } } } [M::A { in_use: 1 }]
        { #[serde(rename_all_fields = "camelCase")] pub enum M { A { in_use: u8 } } } [M::A { in_use: 1 }]
    a_number_goes_by_a_text: Breaks, Breaks;
        { pub struct M { a: u8 } } [M { a: 1 }]
        { pub struct M { a: Digits } #[serde(into = "String", try_from = "String")] pub struct Digits(pub u8); }
        type {
            impl From<Digits> for String { fn from(digits: Digits) -> Self { digits.0.to_string() } }
            impl TryFrom<String> for Digits {
                type Error = std::num::ParseIntError;
                fn try_from(text: String) -> Result<Self, Self::Error> { text.parse().map(Digits) }
            }
        }
        [M { a: Digits(1) }]
    an_adjacent_variant_is_added: Fits, Breaks;
        { #[serde(tag = "t", content = "c")] pub enum M { A, B(u8) } } [M::A, M::B(1)]
        { #[serde(tag = "t", content = "c")] pub enum M { A, B(u8), C(u8) } } [M::C(1)]
    other_variants_are_collected: Careful, Breaks;
        { #[serde(tag = "kind")] pub enum M { A, B { x: u8 } } } [M::A, M::B { x: 1 }]
        { #[serde(tag = "kind")] pub enum M { A, #[serde(other)] Other } } [M::Other]
    an_untagged_variant_is_added: Fits, Breaks;
        { #[serde(untagged)] pub enum M { A(u8), B { x: u8 } } } [M::A(1), M::B { x: 1 }]
        { #[serde(untagged)] pub enum M { A(u8), B { x: u8 }, C(String) } } [M::C(text("x"))]
    untagged_variants_of_other_kinds_are_moved: Fits, Fits;
        { #[serde(untagged)] pub enum M { A(u8), B(String) } } [M::A(1), M::B(text("x"))]
        { #[serde(untagged)] pub enum M { B(String), A(u8) } } [M::A(1), M::B(text("x"))]
    a_flattened_enum_gets_a_variant: Fits, Breaks;
        { pub struct M { a: u8, #[serde(flatten)] kind: Kind } #[serde(tag = "kind")] pub enum Kind { A, B { x: u8 } } }
        [M { a: 1, kind: Kind::A }, M { a: 1, kind: Kind::B { x: 1 } }]
        { pub struct M { a: u8, #[serde(flatten)] kind: Kind } #[serde(tag = "kind")] pub enum Kind { A, B { x: u8 }, C } }
        [M { a: 1, kind: Kind::C }]
}
