//! Fractions as JSON, read back to the last bit: the JSON reader's quick way may miss it.

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de};
use serde_json::value::RawValue;

/// Writes the shortest text that means exactly this number.
pub(super) fn serialize<S: Serializer>(
    value: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.serialize(serializer)
}

/// Reads a number as exactly as it is written.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    let Some(raw) = Option::<Box<RawValue>>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let number = raw
        .get()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite());
    number
        .map(Some)
        .ok_or_else(|| de::Error::custom("a finite number is wanted"))
}
