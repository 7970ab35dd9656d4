//! SHA-256 of several messages at once, by the SHA extensions. One message alone waits for the latency of `sha256rnds2`; two or
//! three fill the time.
//!
//! Messages may have the same blocks: then their message schedule is computed once. In the pass over a layer the archive, the file
//! and the 4096-byte block of it are such messages, since all begin at multiples of 64 bytes of the archive. Blocks of a Merkle
//! tree are messages of their own.
//! Compiled for a processor without these extensions, the messages go one after the other through std.crypto.
//! Sources: FIPS 180-4; Intel SDM volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2.

const std = @import("std");

pub const block_size = 64;
pub const Digest = [32]u8;

const Words = @Vector(4, u32);
const Block = *const [block_size]u8;
const has_extensions = @import("builtin").cpu.has(.x86, .sha);

/// The eight words in the order in which `sha256rnds2` has them.
pub const State = struct {
    abef: Words = .{ 0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667 },
    cdgh: Words = .{ 0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372 },

    /// Ends a message of `size` bytes, of which `rest` did not fill a block.
    pub fn finish(state: State, rest: []const u8, size: u64) Digest {
        var last = state;
        var blocks: [2 * block_size]u8 = @splat(0);
        @memcpy(blocks[0..rest.len], rest);
        blocks[rest.len] = 0x80;
        const used: usize = if (rest.len < block_size - 8) block_size else 2 * block_size;
        std.mem.writeInt(u64, blocks[used - 8 ..][0..8], size * 8, .big);
        compress(1, .{&last}, &blocks, used / block_size);
        return last.digest();
    }

    /// The words in the order of the standard.
    pub fn words(state: State) [8]u32 {
        const a, const c = .{ state.abef, state.cdgh };
        return .{ a[3], a[2], c[3], c[2], a[1], a[0], c[1], c[0] };
    }

    fn of(given: [8]u32) State {
        return .{
            .abef = .{ given[5], given[4], given[1], given[0] },
            .cdgh = .{ given[7], given[6], given[3], given[2] },
        };
    }

    pub fn digest(state: State) Digest {
        var result: Digest = undefined;
        for (state.words(), 0..) |word, at| std.mem.writeInt(u32, result[4 * at ..][0..4], word, .big);
        return result;
    }
};

pub fn hash(data: []const u8) Digest {
    var state: State = .{};
    const blocks = data.len / block_size;
    compress(1, .{&state}, data.ptr, blocks);
    return state.finish(data[blocks * block_size ..], data.len);
}

/// Takes whole blocks into all `states`.
pub fn compress(comptime lanes: usize, states: [lanes]*State, data: [*]const u8, blocks: usize) void {
    run(lanes, 1, states, .{data}, blocks);
}

/// Takes whole blocks of each of `data` into the state of the same number.
pub fn compressEach(comptime lanes: usize, states: [lanes]*State, data: [lanes][*]const u8, blocks: usize) void {
    run(lanes, lanes, states, data, blocks);
}

inline fn run(
    comptime lanes: usize,
    comptime sources: usize,
    states: [lanes]*State,
    data: [sources][*]const u8,
    blocks: usize,
) void {
    if (!has_extensions) {
        inline for (0..lanes) |lane| {
            var hasher: std.crypto.hash.sha2.Sha256 = .init(.{});
            hasher.s = states[lane].words();
            hasher.update(data[lane % sources][0 .. blocks * block_size]);
            states[lane].* = .of(hasher.s);
        }
        return;
    }
    var abef: [lanes]Words = undefined;
    var cdgh: [lanes]Words = undefined;
    inline for (0..lanes) |lane| {
        abef[lane] = states[lane].abef;
        cdgh[lane] = states[lane].cdgh;
    }
    for (0..blocks) |at| {
        const before = .{ abef, cdgh };
        var block: [sources]Block = undefined;
        inline for (0..sources) |source| block[source] = data[source][at * block_size ..][0..block_size];
        rounds(lanes, sources, &abef, &cdgh, block);
        inline for (0..lanes) |lane| {
            abef[lane] +%= before[0][lane];
            cdgh[lane] +%= before[1][lane];
        }
    }
    inline for (0..lanes) |lane| states[lane].* = .{ .abef = abef[lane], .cdgh = cdgh[lane] };
}

inline fn rounds(
    comptime lanes: usize,
    comptime sources: usize,
    abef: *[lanes]Words,
    cdgh: *[lanes]Words,
    block: [sources]Block,
) void {
    var words: [sources][4]Words = undefined;
    inline for (0..sources) |source| {
        inline for (0..4) |at| words[source][at] = @byteSwap(@as(Words, @bitCast(block[source][16 * at ..][0..16].*)));
    }
    inline for (0..16) |four| {
        var low: [sources]Words = undefined;
        var high: [sources]Words = undefined;
        inline for (0..sources) |source| {
            low[source] = words[source][four % 4] +% constants[four];
            high[source] = @shuffle(u32, low[source], undefined, [4]i32{ 2, 3, 2, 3 });
        }
        inline for (0..lanes) |lane| cdgh[lane] = twoRounds(cdgh[lane], abef[lane], low[lane % sources]);
        inline for (0..lanes) |lane| abef[lane] = twoRounds(abef[lane], cdgh[lane], high[lane % sources]);
        if (four < 12) {
            inline for (0..sources) |source| nextWords(&words[source], four);
        }
    }
}

inline fn nextWords(words: *[4]Words, comptime four: usize) void {
    const w0, const w1, const w2, const w3 =
        .{ words[four % 4], words[(four + 1) % 4], words[(four + 2) % 4], words[(four + 3) % 4] };
    const middle: Words = @shuffle(u32, w2, w3, [4]i32{ 1, 2, 3, -1 });
    words[four % 4] = message2(message1(w0, w1) +% middle, w3);
}

inline fn twoRounds(state: Words, other: Words, words: Words) Words {
    return asm ("sha256rnds2 %[other], %[result]"
        : [result] "=x" (-> Words),
        : [_] "0" (state),
          [other] "x" (other),
          [_] "{xmm0}" (words),
    );
}

inline fn message1(words: Words, next: Words) Words {
    return asm ("sha256msg1 %[next], %[result]"
        : [result] "=x" (-> Words),
        : [_] "0" (words),
          [next] "x" (next),
    );
}

inline fn message2(words: Words, last: Words) Words {
    return asm ("sha256msg2 %[last], %[result]"
        : [result] "=x" (-> Words),
        : [_] "0" (words),
          [last] "x" (last),
    );
}

pub const constants: [16]Words = .{
    .{ 0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5 }, .{ 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5 },
    .{ 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3 }, .{ 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174 },
    .{ 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc }, .{ 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da },
    .{ 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7 }, .{ 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967 },
    .{ 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13 }, .{ 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85 },
    .{ 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3 }, .{ 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070 },
    .{ 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5 }, .{ 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3 },
    .{ 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208 }, .{ 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2 },
};
