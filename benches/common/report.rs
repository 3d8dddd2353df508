//! What a benchmark leaves for programs: one flat JSON object, `target/bench/NAME.json`.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// Writes figures by their keys, units in the keys. What could not be measured is not a number, and then
/// its key is absent.
pub fn write(file: &Path, figures: &[(&str, f64)]) -> Result<()> {
    let measured = figures.iter().filter(|(_, figure)| figure.is_finite());
    let object: Map<String, Value> =
        measured.map(|&(key, figure)| (key.to_owned(), figure.into())).collect();
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let text = format!("{:#}\n", Value::Object(object));
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// A figure for people, or a dash for what could not be measured.
pub fn shown(figure: f64) -> String {
    if figure.is_finite() { format!("{figure:.3}") } else { "-".to_owned() }
}

/// The value that this part of the sorted values does not exceed; not a number if there are none.
pub fn quantile<T: Copy + Into<f64>>(sorted: &[T], part: f64) -> f64 {
    let at = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(at).map_or(f64::NAN, |&value| value.into())
}
