//! What somebody who mistyped a name may have meant.

/// The candidate nearest to `written`, where one is near enough to be a slip of the fingers.
pub(super) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written: Vec<char> = written.to_lowercase().chars().take(100).collect();
    candidates
        .into_iter()
        .map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            (distance(&written, &letters), letters.len(), candidate)
        })
        .filter(|(distance, length, _)| *distance <= (*length / 3).max(1) && distance < length)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
}

/// How many letters must be added, left out, replaced or swapped with their neighbour.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, &a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &b) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(a != b);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && a == right[column - 1] && b == left[row - 1] && a != b;
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_far_fetched() {
        let keys = ["listen", "public_url", "data_dir", "id"];
        assert_eq!(nearest("lisetn", keys), Some("listen"));
        assert_eq!(nearest("Public-URL", keys), Some("public_url"));
        assert_eq!(nearest("datadir", keys), Some("data_dir"));
        assert_eq!(nearest("ids", keys), Some("id"));
        assert_eq!(nearest("x", keys), None);
        assert_eq!(nearest("port", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn counts_swaps_as_one() {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&letters("ab"), &letters("ba")), 1);
        assert_eq!(distance(&letters("kitten"), &letters("sitting")), 3);
        assert_eq!(distance(&letters(""), &letters("abc")), 3);
    }
}
