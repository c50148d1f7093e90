//! farmHash64: strings by FarmHash's Fingerprint64, numbers of up to 8 bytes by intHash64, joined by CityHash's
//! Hash128to64. The algorithm is by Geoff Pike (Google, MIT licence).

use super::Function;
use super::hash::{HashFamily, function, mixed_number};

pub(super) const FUNCTIONS: &[Function] = &[function::<Farm>("farmHash64")];

struct Farm;

impl HashFamily for Farm {
    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        fingerprint(text)
    }

    #[inline]
    fn of_number<const N: usize>(number: [u8; N]) -> u64 {
        mixed_number(number, fingerprint)
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

fn fingerprint(text: &[u8]) -> u64 {
    match text.len() {
        0..=16 => up_to_16(text),
        17..=32 => from_17_to_32(text),
        33..=64 => from_33_to_64(text),
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

fn from_33_to_64(text: &[u8]) -> u64 {
    let len = text.len();
    let multiplier = multiplier_of(text);
    let a = word(text, 0).wrapping_mul(K2);
    let b = word(text, 8);
    let c = word(text, len - 8).wrapping_mul(multiplier);
    let d = word(text, len - 16).wrapping_mul(K2);
    let y = a
        .wrapping_add(b)
        .rotate_right(43)
        .wrapping_add(c.rotate_right(30))
        .wrapping_add(d);
    let z = joined(
        y,
        a.wrapping_add(b.wrapping_add(K2).rotate_right(18))
            .wrapping_add(c),
        multiplier,
    );
    let e = word(text, 16).wrapping_mul(multiplier);
    let f = word(text, 24);
    let g = y.wrapping_add(word(text, len - 32)).wrapping_mul(multiplier);
    let h = z.wrapping_add(word(text, len - 24)).wrapping_mul(multiplier);
    let low = e
        .wrapping_add(f)
        .rotate_right(43)
        .wrapping_add(g.rotate_right(30))
        .wrapping_add(h);
    let high = e.wrapping_add(f.wrapping_add(a).rotate_right(18)).wrapping_add(g);
    joined(low, high, multiplier)
}

/// What the long hash carries from one 64-byte chunk to the next.
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

fn long(text: &[u8]) -> u64 {
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
