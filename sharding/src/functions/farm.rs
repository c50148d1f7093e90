//! farmHash64: strings by FarmHash's Hash64, numbers of up to 8 bytes by intHash64, joined by CityHash's
//! Hash128to64. The algorithm is by Geoff Pike (Google, MIT licence).

use super::Function;
use super::hash::{HashFamily, function, mixed_number};

pub(super) const FUNCTIONS: &[Function] = &[function::<Farm>("farmHash64")];

struct Farm;

impl HashFamily for Farm {
    /// From 512 bytes on the servers' build takes a way of its own by SSE instructions.
    const LONGEST: usize = 511;

    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        farm_hash(text)
    }

    #[inline]
    fn of_number<const N: usize>(number: [u8; N]) -> u64 {
        mixed_number(number, farm_hash)
    }
}

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

/// Eight bytes at an offset. The callers have checked the length.
#[inline]
fn word(text: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&text[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[inline]
fn half_word(text: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&text[at..at + 4]);
    u64::from(u32::from_le_bytes(bytes))
}

#[inline]
fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

#[inline]
fn joined(low: u64, high: u64, multiplier: u64) -> u64 {
    let once = shift_mix((low ^ high).wrapping_mul(multiplier));
    shift_mix((high ^ once).wrapping_mul(multiplier)).wrapping_mul(multiplier)
}

/// Hash64 of the library's portable build, which takes another way by length.
fn farm_hash(text: &[u8]) -> u64 {
    match text.len() {
        0..=16 => up_to_16(text),
        17..=32 => from_17_to_32(text),
        33..=64 => from_33_to_64(text),
        65..=96 => from_65_to_96(text),
        97..=256 => up_to_256(text),
        _ => long(text),
    }
}

fn multiplier_of(text: &[u8]) -> u64 {
    K2.wrapping_add(text.len() as u64 * 2)
}

fn up_to_16(text: &[u8]) -> u64 {
    let len = text.len();
    match len {
        8.. => {
            let multiplier = multiplier_of(text);
            let first = word(text, 0).wrapping_add(K2);
            let last = word(text, len - 8);
            let low = last.rotate_right(37).wrapping_mul(multiplier).wrapping_add(first);
            let high = first.rotate_right(25).wrapping_add(last).wrapping_mul(multiplier);
            joined(low, high, multiplier)
        }
        4..=7 => joined(
            (half_word(text, 0) << 3).wrapping_add(len as u64),
            half_word(text, len - 4),
            multiplier_of(text),
        ),
        1..=3 => {
            let [first, middle, last] = [text[0], text[len / 2], text[len - 1]].map(u64::from);
            let front = first + (middle << 8);
            let back = len as u64 + (last << 2);
            shift_mix(front.wrapping_mul(K2) ^ back.wrapping_mul(K0)).wrapping_mul(K2)
        }
        0 => K2,
    }
}

fn from_17_to_32(text: &[u8]) -> u64 {
    let len = text.len();
    let multiplier = multiplier_of(text);
    let a = word(text, 0).wrapping_mul(K1);
    let b = word(text, 8);
    let c = word(text, len - 8).wrapping_mul(multiplier);
    let d = word(text, len - 16).wrapping_mul(K2);
    let low = a
        .wrapping_add(b)
        .rotate_right(43)
        .wrapping_add(c.rotate_right(30))
        .wrapping_add(d);
    let high = a
        .wrapping_add(b.wrapping_add(K2).rotate_right(18))
        .wrapping_add(c);
    joined(low, high, multiplier)
}

/// 32 bytes mixed into two seeds.
fn of_32(text: &[u8], multiplier: u64, seeds: (u64, u64)) -> u64 {
    let a = word(text, 0).wrapping_mul(K1);
    let b = word(text, 8);
    let c = word(text, 24).wrapping_mul(multiplier);
    let d = word(text, 16).wrapping_mul(K2);
    let sum = a
        .wrapping_add(b)
        .rotate_right(43)
        .wrapping_add(c.rotate_right(30));
    let low = sum.wrapping_add(d).wrapping_add(seeds.0);
    let high = a
        .wrapping_add(b.wrapping_add(K2).rotate_right(18))
        .wrapping_add(c)
        .wrapping_add(seeds.1);
    let once = shift_mix((low ^ high).wrapping_mul(multiplier));
    shift_mix((high ^ once).wrapping_mul(multiplier))
}

fn from_33_to_64(text: &[u8]) -> u64 {
    let first = K2.wrapping_sub(30);
    let last = first.wrapping_add(2 * text.len() as u64);
    let low = of_32(text, first, (0, 0));
    let high = of_32(&text[text.len() - 32..], last, (0, 0));
    high.wrapping_mul(last).wrapping_add(low).wrapping_mul(last)
}

fn from_65_to_96(text: &[u8]) -> u64 {
    let first = K2.wrapping_sub(114);
    let last = first.wrapping_add(2 * text.len() as u64);
    let low = of_32(text, first, (0, 0));
    let middle = of_32(&text[32..], last, (0, 0));
    let high = of_32(&text[text.len() - 32..], last, (low, middle));
    let sum = high
        .wrapping_mul(9)
        .wrapping_add(low >> 17)
        .wrapping_add(middle >> 21);
    sum.wrapping_mul(last)
}

/// What the hash of 97 to 256 bytes carries from one 64-byte chunk to the next.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    /// Takes 64 bytes in. The last chunk, which may reach back into the one before, has another multiplier and
    /// counts its words by more.
    #[inline]
    fn absorb(&mut self, chunk: &[u8], multiplier: u64, factor: u64) {
        let Self { x, y, z, v, w } = self;
        *x = x.wrapping_add(*y).wrapping_add(v.0).wrapping_add(word(chunk, 8));
        *x = x.rotate_right(37).wrapping_mul(multiplier) ^ w.1.wrapping_mul(factor);
        *y = y
            .wrapping_add(v.1)
            .wrapping_add(word(chunk, 48))
            .rotate_right(42)
            .wrapping_mul(multiplier);
        *y = y
            .wrapping_add(v.0.wrapping_mul(factor))
            .wrapping_add(word(chunk, 40));
        *z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(multiplier);
        *v = mix_32(chunk, v.1.wrapping_mul(multiplier), x.wrapping_add(w.0));
        *w = mix_32(&chunk[32..], z.wrapping_add(w.1), y.wrapping_add(word(chunk, 16)));
        std::mem::swap(z, x);
    }
}

/// Mixes 32 bytes into two seeds.
#[inline]
fn mix_32(text: &[u8], a: u64, b: u64) -> (u64, u64) {
    let last = word(text, 24);
    let a = a.wrapping_add(word(text, 0));
    let b = b.wrapping_add(a).wrapping_add(last).rotate_right(21);
    let sum = a.wrapping_add(word(text, 8)).wrapping_add(word(text, 16));
    (
        sum.wrapping_add(last),
        b.wrapping_add(sum.rotate_right(44)).wrapping_add(a),
    )
}

fn up_to_256(text: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let len = text.len();
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let mut state = State {
        x: SEED.wrapping_mul(K2).wrapping_add(word(text, 0)),
        y,
        z: shift_mix(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2),
        v: (0, 0),
        w: (0, 0),
    };
    for chunk in text[..(len - 1) & !63].chunks_exact(64) {
        state.absorb(chunk, K1, 1);
    }
    let multiplier = K1.wrapping_add((state.z & 0xff) << 1);
    state.w.0 = state.w.0.wrapping_add((len as u64 - 1) & 63);
    state.v.0 = state.v.0.wrapping_add(state.w.0);
    state.w.0 = state.w.0.wrapping_add(state.v.0);
    state.absorb(&text[len - 64..], multiplier, 9);
    let State { x, y, z, v, w } = state;
    let low = joined(v.0, w.0, multiplier)
        .wrapping_add(shift_mix(y).wrapping_mul(K0))
        .wrapping_add(z);
    joined(low, joined(v.1, w.1, multiplier).wrapping_add(x), multiplier)
}

/// Joins two words and turns the result.
fn turned(low: u64, high: u64, turn: u32) -> u64 {
    let once = shift_mix((low ^ high).wrapping_mul(K2));
    (high ^ once).wrapping_mul(K2).rotate_right(turn).wrapping_mul(K2)
}

/// What the hash of more than 256 bytes carries from one chunk to the next.
struct LongState {
    state: State,
    u: u64,
    multiplier: u64,
}

impl LongState {
    fn absorb(&mut self, chunk: &[u8]) {
        let Self { state, u, multiplier } = self;
        let State { x, y, z, v, w } = state;
        let a: [u64; 8] = std::array::from_fn(|place| word(chunk, 8 * place));
        *x = x
            .wrapping_add(a[0])
            .wrapping_add(a[1])
            .rotate_right(26)
            .wrapping_mul(9);
        *y = y.wrapping_add(a[2]).rotate_right(29);
        *z = z.wrapping_add(a[3]).wrapping_mul(*multiplier).rotate_right(32);
        v.0 = v.0.wrapping_add(a[4]).rotate_right(33);
        v.1 = v.1.wrapping_add(a[5]).wrapping_add(a[1]).rotate_right(30);
        w.0 = (w.0.wrapping_add(a[6]) ^ *x).wrapping_mul(9);
        w.1 = w.1.wrapping_add(a[7]);
        *z = z.wrapping_add(w.1);
        w.1 = w.1.wrapping_add(*z);
        *z = z.wrapping_mul(9);
        std::mem::swap(u, y);
        *z = z.wrapping_add(a[0]).wrapping_add(a[6]);
        v.0 = v.0.wrapping_add(a[2]);
        v.1 = v.1.wrapping_add(a[3]);
        w.0 = w.0.wrapping_add(a[4]);
        w.1 = w.1.wrapping_add(a[5]).wrapping_add(a[6]);
        *x = x.wrapping_add(a[1]);
        *y = y.wrapping_add(a[7]).wrapping_add(v.0);
        let difference = x.wrapping_sub(*y);
        v.0 = v.0.wrapping_add(difference);
        v.1 = v.1.wrapping_add(w.0);
        w.0 = w.0.wrapping_add(v.1);
        w.1 = w.1.wrapping_add(difference);
        *x = x.wrapping_add(w.1);
        w.1 = w.1.rotate_right(34);
        std::mem::swap(u, z);
    }
}

fn long(text: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let len = text.len();
    let z = shift_mix(113_u64.wrapping_mul(K2)).wrapping_mul(K2);
    let u = SEED.wrapping_sub(z);
    let mut long = LongState {
        state: State {
            x: SEED.wrapping_mul(K2),
            y: 113,
            z,
            v: (SEED, 0),
            w: (0, 0),
        },
        u,
        multiplier: K2.wrapping_add(u & 0x82),
    };
    for chunk in text[..(len - 1) & !63].chunks_exact(64) {
        long.absorb(chunk);
    }
    let multiplier = long.multiplier;
    let State { x, y, z, v, w } = long.state;
    let last = &text[len - 64..];
    let u = long.u.wrapping_mul(9).wrapping_add(y);
    let y = y.wrapping_add(u);
    let v = (v.0.rotate_right(20), v.1.rotate_right(28));
    let w = (w.0.wrapping_add((len as u64 - 1) & 63), w.1);
    let sum = y.wrapping_sub(x).wrapping_add(v.0).wrapping_add(word(last, 8));
    let x = sum.rotate_right(37).wrapping_mul(multiplier) ^ w.1.wrapping_mul(9);
    let y = (y ^ v.1 ^ word(last, 48))
        .rotate_right(42)
        .wrapping_mul(multiplier);
    let y = y.wrapping_add(v.0).wrapping_add(word(last, 40));
    let z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(multiplier);
    let v = mix_32(last, v.1.wrapping_mul(multiplier), x.wrapping_add(w.0));
    let w = mix_32(&last[32..], z.wrapping_add(w.1), y.wrapping_add(word(last, 16)));
    let low = joined(v.0.wrapping_add(x), w.0 ^ y, multiplier)
        .wrapping_add(z)
        .wrapping_sub(u);
    turned(low, turned(v.1.wrapping_add(y), w.1.wrapping_add(z), 30) ^ x, 31)
}
