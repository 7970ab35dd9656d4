//! SHA-256 of many messages of one size, sixteen at a time, exported to C (libos/base/sha256.c). For CPUs with AVX-512 (F, BW, VL).
//!
//! One vector holds the same word of sixteen messages. The SHA extensions do two messages in the time of one and no more
//! (sha256_lanes.zig); sixteen in these registers take less than half of their time.
//! Sources: FIPS 180-4; Gueron and Krasnov, "Simultaneous hashing of multiple messages", 2012.

const std = @import("std");
const sha256 = @import("sha256_ni");

const lanes = 16;
const block_size = sha256.block_size;
const Vector = @Vector(lanes, u32);

comptime {
    std.debug.assert(block_size == lanes * @sizeOf(u32)); // a block is one row of what transpose() turns
    @export(&each, .{ .name = "sha256_each_wide", .visibility = .hidden });
}

/// `size` is the same for all `count` messages, which lie one behind the other. Fewer than sixteen take as long as sixteen.
fn each(data: [*]const u8, size: usize, count: usize, digests: [*]sha256.Digest) callconv(.c) void {
    var first: usize = 0;
    while (first < count) : (first += lanes) {
        var sources: [lanes][*]const u8 = undefined;
        for (0..lanes) |lane| sources[lane] = data + @min(first + lane, count - 1) * size;
        const state = hash(&sources, size);
        for (0..@min(lanes, count - first)) |lane| {
            for (0..8) |at| std.mem.writeInt(u32, digests[first + lane][4 * at ..][0..4], state[at][lane], .big);
        }
    }
}

/// Word by word, the digests of all lanes.
fn hash(sources: *const [lanes][*]const u8, size: usize) [8][lanes]u32 {
    var state: [8]Vector = undefined;
    inline for (comptime (sha256.State{}).words(), 0..) |word, at| state[at] = @splat(word);
    const whole = size / block_size * block_size;
    var at: usize = 0;
    while (at < whole) : (at += block_size) compress(&state, sources, at);

    const rest = size - whole;
    const padded: usize = if (rest < block_size - 8) block_size else 2 * block_size;
    var ends: [lanes][2 * block_size]u8 = @splat(@splat(0));
    var pointers: [lanes][*]const u8 = undefined;
    for (0..lanes) |lane| {
        @memcpy(ends[lane][0..rest], sources[lane][whole..size]);
        ends[lane][rest] = 0x80;
        std.mem.writeInt(u64, ends[lane][padded - 8 ..][0..8], size * 8, .big);
        pointers[lane] = &ends[lane];
    }
    at = 0;
    while (at < padded) : (at += block_size) compress(&state, &pointers, at);
    return @bitCast(state);
}

/// Takes one block of each source, the one at `at`.
fn compress(state: *[8]Vector, sources: *const [lanes][*]const u8, at: usize) void {
    var words: [lanes]Vector = undefined;
    inline for (0..lanes) |lane| words[lane] = @byteSwap(@as(*align(1) const Vector, @ptrCast(sources[lane] + at)).*);
    transpose(&words);
    var a, var b, var c, var d, var e, var f, var g, var h = state.*;
    inline for (0..64) |round| {
        if (round >= 16) words[round % 16] +%= sigma0(words[(round + 1) % 16]) +% words[(round + 9) % 16] +% sigma1(words[(round + 14) % 16]);
        const constant: Vector = @splat(sha256.constants[round / 4][round % 4]);
        const one = h +% (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) +% ((e & f) ^ (~e & g)) +% constant +% words[round % 16];
        const two = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) +% ((a & b) ^ (a & c) ^ (b & c));
        h, g, f, e, d, c, b, a = .{ g, f, e, d +% one, c, b, a, one +% two };
    }
    inline for (state, .{ a, b, c, d, e, f, g, h }) |*word, more| word.* +%= more;
}

inline fn sigma0(word: Vector) Vector {
    return turned(word, 7) ^ turned(word, 18) ^ (word >> @splat(3));
}

inline fn sigma1(word: Vector) Vector {
    return turned(word, 17) ^ turned(word, 19) ^ (word >> @splat(10));
}

inline fn turned(word: Vector, comptime bits: u5) Vector {
    return std.math.rotr(Vector, word, bits);
}

/// Rows become columns: the lanes' words become words of all lanes. Each step exchanges the halves of squares twice as large.
inline fn transpose(rows: *[lanes]Vector) void {
    @setEvalBranchQuota(10_000);
    comptime var step = 1;
    inline while (step < lanes) : (step *= 2) {
        inline for (0..lanes) |row| {
            if (row & step != 0) continue;
            const one, const other = .{ rows[row], rows[row + step] };
            rows[row] = @shuffle(u32, one, other, halves(step, 0));
            rows[row + step] = @shuffle(u32, one, other, halves(step, step));
        }
    }
}

/// Of each square, the half that begins at `from`, of both rows. A row's elements are counted up, the other's down from -1.
fn halves(step: usize, from: usize) [lanes]i32 {
    var mask: [lanes]i32 = undefined;
    for (0..lanes) |at| {
        const element: i32 = @intCast((at & ~step) + from);
        mask[at] = if (at & step == 0) element else ~element;
    }
    return mask;
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = std.debug.no_panic;
