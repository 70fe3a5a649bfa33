//! Chance that can be repeated: the same seed gives the same run.

/// A small generator (xorshift64*), good enough to choose test cases.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn from_seed(seed: u64) -> Self {
        // The state must not be zero.
        Self(seed ^ 0x9E37_79B9_7F4A_7C15 | 1)
    }

    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`; 0 where `limit` is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u64;
        usize::try_from((self.next() >> 11) % limit).unwrap_or(0)
    }

    /// One of `choices`; `None` where there are none.
    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let index = self.below(choices.len());
        choices.get(index)
    }
}
