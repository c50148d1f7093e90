//! CityHash 1.0.2, the version that ClickHouse froze: cityHash64() and the checksum of its compressed blocks.
//!
//! Later CityHash releases answer differently, so crates that follow them cannot be used. The algorithm is by
//! Geoff Pike and Jyrki Alakuijala (Google, MIT licence). All numbers are read little-endian, on any machine.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_d7c7_509e_6557;

/// CityHash64 of a string: ClickHouse's `cityHash64(s)`.
pub fn city_hash_64(text: &[u8]) -> u64 {
    match text.len() {
        0..=16 => hash_up_to_16(text),
        17..=32 => hash_17_to_32(text),
        33..=64 => hash_33_to_64(text),
        _ => hash_long(text),
    }
}

/// CityHash128 of a string as (low, high): the 16 bytes before a compressed block are low, then high,
/// little-endian.
pub fn city_hash_128(text: &[u8]) -> (u64, u64) {
    let len = text.len();
    match len {
        16.. => hash_128_seeded(&text[16..], (word(text, 0) ^ K3, word(text, 8))),
        8..=15 => {
            let seed = (
                word(text, 0) ^ (len as u64).wrapping_mul(K0),
                word(text, len - 8) ^ K1,
            );
            hash_128_seeded(&[], seed)
        }
        _ => hash_128_seeded(text, (K0, K1)),
    }
}

/// Joins two 64-bit hashes; the order matters. ClickHouse combines the arguments of cityHash64 with it.
#[inline]
pub fn city_hash_join(low: u64, high: u64) -> u64 {
    const MULTIPLIER: u64 = 0x9ddf_ea08_eb38_2d69;
    let once = shift_mix((low ^ high).wrapping_mul(MULTIPLIER));
    let twice = shift_mix((high ^ once).wrapping_mul(MULTIPLIER));
    twice.wrapping_mul(MULTIPLIER)
}

/// Eight bytes at an offset as a number. The callers have checked the length.
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

fn hash_up_to_16(text: &[u8]) -> u64 {
    let len = text.len();
    match len {
        9.. => {
            let (first, last) = (word(text, 0), word(text, len - 8));
            city_hash_join(first, last.wrapping_add(len as u64).rotate_right(len as u32)) ^ last
        }
        4..=8 => city_hash_join(
            (half_word(text, 0) << 3).wrapping_add(len as u64),
            half_word(text, len - 4),
        ),
        1..=3 => {
            let [first, middle, last] = [text[0], text[len / 2], text[len - 1]].map(u64::from);
            let front = first + (middle << 8);
            let back = len as u64 + (last << 2);
            shift_mix(front.wrapping_mul(K2) ^ back.wrapping_mul(K3)).wrapping_mul(K2)
        }
        0 => K2,
    }
}

fn hash_17_to_32(text: &[u8]) -> u64 {
    let len = text.len();
    let a = word(text, 0).wrapping_mul(K1);
    let b = word(text, 8);
    let c = word(text, len - 8).wrapping_mul(K2);
    let d = word(text, len - 16).wrapping_mul(K0);
    let low = a
        .wrapping_sub(b)
        .rotate_right(43)
        .wrapping_add(c.rotate_right(30))
        .wrapping_add(d);
    let high = a
        .wrapping_add((b ^ K3).rotate_right(20))
        .wrapping_sub(c)
        .wrapping_add(len as u64);
    city_hash_join(low, high)
}

fn hash_33_to_64(text: &[u8]) -> u64 {
    let len = text.len();
    let tail = word(text, len - 16);
    let front_start = word(text, 0).wrapping_add(tail.wrapping_add(len as u64).wrapping_mul(K0));
    let front = quarter_pair(front_start, word(text, 8), word(text, 16), word(text, 24));
    let back_start = word(text, 16).wrapping_add(word(text, len - 32));
    let back = quarter_pair(back_start, word(text, len - 24), tail, word(text, len - 8));
    let mixed = front.0.wrapping_add(back.1).wrapping_mul(K2);
    let mixed = shift_mix(mixed.wrapping_add(back.0.wrapping_add(front.1).wrapping_mul(K0)));
    shift_mix(mixed.wrapping_mul(K0).wrapping_add(front.1)).wrapping_mul(K2)
}

/// One half of `hash_33_to_64`: four words into two.
fn quarter_pair(start: u64, second: u64, third: u64, last: u64) -> (u64, u64) {
    let mut sum = start.wrapping_add(second);
    let turned = start.wrapping_add(last).rotate_right(52);
    let turns = start.rotate_right(37).wrapping_add(sum.rotate_right(7));
    sum = sum.wrapping_add(third);
    (
        sum.wrapping_add(last),
        turned.wrapping_add(sum.rotate_right(31)).wrapping_add(turns),
    )
}

fn hash_long(text: &[u8]) -> u64 {
    let len = text.len();
    let y = word(text, len - 16) ^ K1;
    let z = word(text, len - 56) ^ K0;
    let v = mix_32(&text[len - 64..], len as u64, y);
    let w = mix_32(&text[len - 32..], (len as u64).wrapping_mul(K1), K0);
    let z = z.wrapping_add(shift_mix(v.1).wrapping_mul(K1));
    let x = z.wrapping_add(word(text, 0)).rotate_right(39).wrapping_mul(K1);
    let mut state = State {
        x,
        y: y.rotate_right(33).wrapping_mul(K1),
        z,
        v,
        w,
    };
    // The last 64 bytes went into the seeds; a full last chunk is not read again.
    for chunk in text[..(len - 1) & !63].chunks_exact(64) {
        state.absorb(chunk);
    }
    let State { x, y, z, v, w } = state;
    let low = city_hash_join(v.0, w.0)
        .wrapping_add(shift_mix(y).wrapping_mul(K1))
        .wrapping_add(z);
    city_hash_join(low, city_hash_join(v.1, w.1).wrapping_add(x))
}

/// What the long hashes carry from one 64-byte chunk to the next.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    #[inline]
    fn absorb(&mut self, chunk: &[u8]) {
        let Self { x, y, z, v, w } = self;
        *x = x.wrapping_add(*y).wrapping_add(v.0).wrapping_add(word(chunk, 16));
        *x = x.rotate_right(37).wrapping_mul(K1) ^ w.1;
        *y = y
            .wrapping_add(v.1)
            .wrapping_add(word(chunk, 48))
            .rotate_right(42)
            .wrapping_mul(K1)
            ^ v.0;
        *z = (*z ^ w.0).rotate_right(33);
        *v = mix_32(chunk, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        *w = mix_32(&chunk[32..], z.wrapping_add(w.1), *y);
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

fn hash_128_seeded(text: &[u8], seed: (u64, u64)) -> (u64, u64) {
    if text.len() < 128 {
        hash_128_short(text, seed)
    } else {
        hash_128_long(text, seed)
    }
}

fn hash_128_short(text: &[u8], seed: (u64, u64)) -> (u64, u64) {
    let [a, b, c, d] = if text.len() <= 16 {
        seeds_up_to_16(text, seed)
    } else {
        seeds_17_to_127(text, seed)
    };
    let (a, b) = (city_hash_join(a, c), city_hash_join(d, b));
    (a ^ b, city_hash_join(b, a))
}

fn seeds_up_to_16(text: &[u8], (seed_low, seed_high): (u64, u64)) -> [u64; 4] {
    let a = shift_mix(seed_low.wrapping_mul(K1)).wrapping_mul(K1);
    let c = seed_high.wrapping_mul(K1).wrapping_add(hash_up_to_16(text));
    let start = if text.len() >= 8 { word(text, 0) } else { c };
    [a, seed_high, c, shift_mix(a.wrapping_add(start))]
}

fn seeds_17_to_127(text: &[u8], (seed_low, seed_high): (u64, u64)) -> [u64; 4] {
    let len = text.len();
    let mut c = city_hash_join(word(text, len - 8).wrapping_add(K1), seed_low);
    let mut d = city_hash_join(
        seed_high.wrapping_add(len as u64),
        c.wrapping_add(word(text, len - 16)),
    );
    let (mut a, mut b) = (seed_low.wrapping_add(d), seed_high);
    // The last 1 to 16 bytes are in the seeds only.
    for pair in text[..(len - 1) & !15].chunks_exact(16) {
        a = (a ^ shift_mix(word(pair, 0).wrapping_mul(K1)).wrapping_mul(K1)).wrapping_mul(K1);
        b ^= a;
        c = (c ^ shift_mix(word(pair, 8).wrapping_mul(K1)).wrapping_mul(K1)).wrapping_mul(K1);
        d ^= c;
    }
    [a, b, c, d]
}

fn hash_128_long(text: &[u8], (seed_low, seed_high): (u64, u64)) -> (u64, u64) {
    let len = text.len();
    let z = (len as u64).wrapping_mul(K1);
    let v_low = (seed_high ^ K1)
        .rotate_right(49)
        .wrapping_mul(K1)
        .wrapping_add(word(text, 0));
    let v = (
        v_low,
        v_low
            .rotate_right(42)
            .wrapping_mul(K1)
            .wrapping_add(word(text, 8)),
    );
    let w_low = seed_high
        .wrapping_add(z)
        .rotate_right(35)
        .wrapping_mul(K1)
        .wrapping_add(seed_low);
    let w = (
        w_low,
        seed_low
            .wrapping_add(word(text, 88))
            .rotate_right(53)
            .wrapping_mul(K1),
    );
    let mut state = State {
        x: seed_low,
        y: seed_high,
        z,
        v,
        w,
    };
    let absorbed = len & !127;
    for chunk in text[..absorbed].chunks_exact(64) {
        state.absorb(chunk);
    }
    let State {
        mut x,
        mut y,
        z,
        mut v,
        mut w,
    } = state;
    y = y
        .wrapping_add(w.0.rotate_right(37).wrapping_mul(K0))
        .wrapping_add(z);
    x = x.wrapping_add(v.0.wrapping_add(z).rotate_right(49).wrapping_mul(K0));
    // The rest in steps of 32 bytes from the end; the last step reaches back into absorbed bytes.
    for step in 1..=(len - absorbed).div_ceil(32) {
        let tail = &text[len - 32 * step..];
        y = y
            .wrapping_sub(x)
            .rotate_right(42)
            .wrapping_mul(K0)
            .wrapping_add(v.1);
        w.0 = w.0.wrapping_add(word(tail, 16));
        x = x.rotate_right(49).wrapping_mul(K0).wrapping_add(w.0);
        w.0 = w.0.wrapping_add(v.0);
        v = mix_32(tail, v.0, v.1);
    }
    let (x, y) = (city_hash_join(x, v.0), city_hash_join(y, w.0));
    let low = city_hash_join(x.wrapping_add(v.1), w.1).wrapping_add(y);
    (low, city_hash_join(x.wrapping_add(w.1), y.wrapping_add(v.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The string of a golden line, as golden/make_city.py writes it.
    fn text(len: usize) -> Vec<u8> {
        (0..len)
            .map(|i| ((i * 167 + len * 13 + i / 256) % 256) as u8)
            .collect()
    }

    /// A block of ClickHouse without compression that holds one String: what its checksum covers.
    fn block(text: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        if text.len() >= 128 {
            content.push((text.len() % 128) as u8 | 128);
            content.push((text.len() / 128) as u8);
        } else {
            content.push(text.len() as u8);
        }
        content.extend_from_slice(text);
        let mut block = vec![2];
        block.extend_from_slice(&(content.len() as u32 + 9).to_le_bytes());
        block.extend_from_slice(&(content.len() as u32).to_le_bytes());
        block.extend_from_slice(&content);
        block
    }

    #[test]
    fn clickhouse_agrees_on_every_length() {
        let golden = include_str!("../golden/city.txt");
        let mut lines = 0;
        for line in golden.lines() {
            let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
            let text = text(numbers[0] as usize);
            assert_eq!(city_hash_64(&text), numbers[1], "64 bits of {} bytes", text.len());
            assert_eq!(
                city_hash_128(&block(&text)),
                (numbers[2], numbers[3]),
                "128 bits of {} bytes",
                text.len()
            );
            lines += 1;
        }
        assert_eq!(lines, 155);
    }

    /// No block of ClickHouse is this short; the numbers are those of PyPI's clickhouse-cityhash 1.0.2.
    #[test]
    fn strings_shorter_than_a_block_have_128_bits_too() {
        let expected = [
            (0, 4463240938071824939, 4374473821787594281),
            (1, 16554935001755348200, 17984641565184163211),
            (2, 3519807208599191455, 5216360018627254267),
            (3, 8327227337523493856, 12239423046595009533),
            (4, 10823969044171128910, 1298833721841950826),
            (5, 9749127051780438274, 15974281183327384870),
            (6, 8880982960170104472, 14604731329563205061),
            (7, 10818915088188197713, 3329375147746375327),
            (8, 4400329125315103269, 3970130572740376877),
            (9, 2180424208293642409, 7866868842613287761),
            (10, 13062089639981970155, 11112513972023212395),
            (11, 9338413799875637642, 16418113581210170790),
        ];
        for (len, low, high) in expected {
            assert_eq!(city_hash_128(&text(len)), (low, high), "{len} bytes");
        }
    }

    #[test]
    fn the_empty_string_has_its_known_hash() {
        assert_eq!(city_hash_64(b""), 11_160_318_154_034_397_263);
    }
}
