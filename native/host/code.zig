//! Looks for instructions and marks of toolchains in an ELF file that passes by in pieces, as elf_code.py does and explains: that
//! one is the reference. Its `re` takes a step for every byte, and keeps the interpreter's lock.
//!
//! A piece is looked at where it lies, behind a short copy that has the end of the one before it and its own beginning.

const std = @import("std");

const lanes = 32;
const Lanes = @Vector(lanes, u8);

/// Bytes of the last piece that are looked at again with the next one.
const overlap = 128;
/// Bytes of a piece that are in the copy as well: more than a mark has, or than what is looked at around an instruction.
const beginning = 256;
const window = 16;
const max_ranges = 32;
const numbers_size = 1024;

const special_first = 0x0f;
const syscall = 0x05;
const sysenter = 0x34;
const rdtscp = 0x01;
const rdtscp_end = 0xf9;
const int_first = 0xcd;
const int80 = 0x80;
const mov_eax = 0xb8;
const mov_eax_size = 5;

const marks = [_][]const u8{ "\xff Go buildinf:", "rustc version " };
const longest_mark = 14;

const Instruction = struct {
    const int80: u64 = 1;
    const rdtscp: u64 = 2;
    const sysenter: u64 = 4;
};

const Range = extern struct { start: u64, end: u64 };

/// See `_Scan` in native_code.py.
const Scan = extern struct {
    /// Parts of the file with code, in order.
    ranges: [max_ranges]Range,
    ranges_count: u64,
    /// Bytes of code, and places in it, that may still be looked at.
    code_left: u64,
    sites_left: u64,
    /// Numbers of system calls: one bit for each.
    numbers: [numbers_size / 64]u64,
    instructions: u64,
    tail: [overlap]u8,
    tail_size: u64,
    /// The tail that the latest piece was looked at with.
    before: [overlap]u8,
    before_size: u64,

    fn feed(scan: *Scan, offset: u64, piece: []const u8) bool {
        @setRuntimeSafety(true);
        scan.before = scan.tail;
        scan.before_size = scan.tail_size;
        const tail_size: usize = @intCast(scan.tail_size);
        var copy: [overlap + beginning]u8 = undefined;
        @memcpy(copy[0..tail_size], scan.tail[0..tail_size]);
        const copied = @min(piece.len, beginning);
        @memcpy(copy[tail_size..][0..copied], piece[0..copied]);
        const views: Views = .{ .copy = copy[0 .. tail_size + copied], .piece = piece, .tail_size = tail_size };

        const base = offset - tail_size;
        const size = tail_size + piece.len;
        var at: usize = 0;
        for (scan.ranges[0..@intCast(scan.ranges_count)]) |range| {
            const first: usize = @intCast(@max(range.start -| base, at));
            const last: usize = @intCast(@min(range.end -| base, size));
            if (first >= last) continue;
            scan.lookAtCode(views, first, last);
            at = last;
        }
        scan.keepTail(views);
        return haveMarks(views.copy) or haveMarks(piece);
    }

    fn keepTail(scan: *Scan, views: Views) void {
        @setRuntimeSafety(true);
        const bytes = if (views.piece.len >= overlap) views.piece else views.copy;
        const size = @min(bytes.len, overlap);
        @memcpy(scan.tail[0..size], bytes[bytes.len - size ..]);
        scan.tail_size = size;
    }

    fn lookAtCode(scan: *Scan, views: Views, first: usize, most: usize) void {
        @setRuntimeSafety(true);
        const last: usize = @intCast(@min(most, first + scan.code_left));
        scan.code_left -= last - first;
        // Pairs that begin before this place are looked for in the copy.
        const split = @min(last, views.tail_size + overlap);
        const in_copy: Code = .{ .data = views.copy, .first = first, .last = @min(last, views.copy.len) };
        const in_piece: Code = .{
            .data = views.piece,
            .first = first -| views.tail_size,
            .last = last -| views.tail_size,
        };
        const start = @max(first, split) -| views.tail_size;
        const copy_end = @min(last, split + 1);
        scan.lookForSpecial(in_copy, first, copy_end);
        scan.lookForSpecial(in_piece, start, in_piece.last);
        scan.lookForInt80(in_copy, first, copy_end);
        scan.lookForInt80(in_piece, start, in_piece.last);
    }

    fn lookForSpecial(scan: *Scan, code: Code, start: usize, end: usize) void {
        @setRuntimeSafety(true);
        var pairs: Pairs = .{ .data = code.data, .at = start, .end = end, .first = special_first, .seconds = .{ syscall, sysenter, rdtscp } };
        while (scan.sites_left != 0) {
            const at = pairs.next() orelse break;
            scan.sites_left -= 1;
            switch (code.data[at + 1]) {
                syscall => if (code.numberBefore(at)) |number| {
                    scan.numbers[number / 64] |= @as(u64, 1) << @intCast(number % 64);
                },
                sysenter => if (code.hasStackBefore(at)) {
                    scan.instructions |= Instruction.sysenter;
                },
                else => if (at + 2 < code.last and code.data[at + 2] == rdtscp_end) {
                    scan.instructions |= Instruction.rdtscp;
                },
            }
        }
    }

    fn lookForInt80(scan: *Scan, code: Code, start: usize, end: usize) void {
        @setRuntimeSafety(true);
        var pairs: Pairs = .{ .data = code.data, .at = start, .end = end, .first = int_first, .seconds = @splat(int80) };
        while (scan.sites_left != 0) {
            const at = pairs.next() orelse break;
            scan.sites_left -= 1;
            const is_direct = at - code.first >= mov_eax_size and code.numberAt(at - mov_eax_size) != null;
            if (is_direct) scan.instructions |= Instruction.int80;
        }
    }
};

const Views = struct {
    /// The tail and the beginning of the piece.
    copy: []const u8,
    piece: []const u8,
    tail_size: usize,
};

/// Code in [first, last) of some bytes.
const Code = struct {
    data: []const u8,
    first: usize,
    last: usize,

    /// The number in `mov eax, NUMBER` at a place, if it may be one of a system call.
    fn numberAt(code: Code, at: usize) ?u16 {
        @setRuntimeSafety(true);
        const bytes = code.data[at..][0..mov_eax_size];
        const number = std.mem.readInt(u32, bytes[1..], .little);
        return if (bytes[0] == mov_eax and number < numbers_size) @intCast(number) else null;
    }

    /// The last number that is loaded shortly before a place, with no system call in between.
    fn numberBefore(code: Code, end: usize) ?u16 {
        @setRuntimeSafety(true);
        const start = @max(end -| window, code.first);
        if (end - start < mov_eax_size) return null;
        var at = end - mov_eax_size;
        while (true) : (at -= 1) {
            if (code.numberAt(at)) |number| return number;
            const next = at + mov_eax_size;
            // A system call that began here would lie between the number and the place.
            if (next - 1 + 2 <= end and isSystemCall(code.data[next - 1 ..][0..2])) return null;
            if (at == start) return null;
        }
    }

    fn hasStackBefore(code: Code, at: usize) bool {
        @setRuntimeSafety(true);
        if (at - code.first < 2) return false;
        const before = std.mem.readInt(u16, code.data[at - 2 ..][0..2], .big);
        return before == 0x89e5 or before == 0x8bec; // both forms of `mov ebp, esp`
    }
};

fn isSystemCall(bytes: *const [2]u8) bool {
    return (bytes[0] == special_first and bytes[1] == syscall) or (bytes[0] == int_first and bytes[1] == int80);
}

/// Goes through the places in [at, end) where `first` stands before one of `seconds`, both inside.
const Pairs = struct {
    data: []const u8,
    at: usize,
    end: usize,
    first: u8,
    seconds: [3]u8,
    /// Places that are found already: bits, from `from` on.
    found: u32 = 0,
    from: usize = 0,

    fn next(pairs: *Pairs) ?usize {
        @setRuntimeSafety(true);
        while (pairs.found == 0) {
            if (pairs.at + lanes >= pairs.end) return pairs.nextOfFew();
            pairs.from = pairs.at;
            pairs.at += lanes;
            // No branch for the first byte alone: in code it is everywhere, and nobody could foretell it.
            const bytes = pairs.data[pairs.from..][0 .. lanes + 1];
            var seconds: u32 = 0;
            inline for (0..3) |which| seconds |= equal(bytes[1..], pairs.seconds[which]);
            pairs.found = equal(bytes[0..lanes], pairs.first) & seconds;
        }
        const place = pairs.from + @ctz(pairs.found);
        pairs.found &= pairs.found - 1;
        return place;
    }

    fn nextOfFew(pairs: *Pairs) ?usize {
        @setRuntimeSafety(true);
        while (pairs.at + 1 < pairs.end) {
            const place = pairs.at;
            pairs.at += 1;
            const second = pairs.data[place + 1];
            if (pairs.data[place] == pairs.first and std.mem.indexOfScalar(u8, &pairs.seconds, second) != null) return place;
        }
        return null;
    }
};

/// Tells whether one of the marks is in some bytes.
fn haveMarks(data: []const u8) bool {
    @setRuntimeSafety(true);
    var at: usize = 0;
    while (at + lanes + longest_mark <= data.len) : (at += lanes) {
        const bytes = data[at..][0 .. lanes + longest_mark];
        var places: u32 = 0;
        inline for (marks) |mark| {
            places |= equal(bytes[0..lanes], mark[0]) & equal(bytes[mark.len - 1 ..][0..lanes], mark[mark.len - 1]);
        }
        while (places != 0) : (places &= places - 1) {
            if (beginsWithMark(bytes[@ctz(places)..])) return true;
        }
    }
    while (at < data.len) : (at += 1) {
        if (beginsWithMark(data[at..])) return true;
    }
    return false;
}

fn beginsWithMark(data: []const u8) bool {
    inline for (marks) |mark| {
        if (std.mem.startsWith(u8, data, mark)) return true;
    }
    return false;
}

/// One bit for each byte.
fn equal(bytes: *const [lanes]u8, wanted: u8) u32 {
    return @bitCast(@as(Lanes, bytes.*) == @as(Lanes, @splat(wanted)));
}

/// Takes the piece at `offset` of the file. Tells whether a mark of a toolchain is in it, or begins in the tail before it.
export fn enclavize_scan_code(scan: *Scan, offset: u64, piece: [*]const u8, size: usize) bool {
    return scan.feed(offset, piece[0..size]);
}

/// Where safety is on, an access out of bounds stops at once; nothing else can panic.
pub const panic = std.debug.no_panic;
