//! What a loader must check of a SIGSTRUCT's signature: std.crypto and std.math.big, exported to C (pal/crypto.h).
//! Numbers are little-endian, as SIGSTRUCT has them.

const std = @import("std");
const rsa = std.crypto.Certificate.rsa;
const Sha256 = std.crypto.hash.sha2.Sha256;
const Integer = std.math.big.int.Managed;

const size = 384; // RSA-3072
const Number = [size]u8;
const exponent = [_]u8{3};

comptime {
    @export(&verify, .{ .name = "rsa3072_verify", .visibility = .hidden });
    @export(&quotientsMatch, .{ .name = "rsa3072_quotients_match", .visibility = .hidden });
}

fn bigEndian(number: *const Number) Number {
    var result = number.*;
    std.mem.reverse(u8, &result);
    return result;
}

fn verify(modulus: *const Number, signature: *const Number, message: [*]const u8, length: usize) callconv(.c) bool {
    const key = rsa.PublicKey.fromBytes(&exponent, &bigEndian(modulus)) catch return false;
    if (key.n.bits() != size * 8) return false;
    rsa.PKCS1v1_5Signature.verify(size, &bigEndian(signature), message[0..length], key, Sha256) catch return false;
    return true;
}

fn integer(allocator: std.mem.Allocator, number: *const Number) !Integer {
    var result = try Integer.initCapacity(allocator, size / @sizeOf(usize) + 1);
    var mutable = result.toMutable();
    mutable.readTwosComplement(number, size * 8, .little, .unsigned);
    result.setMetadata(mutable.positive, mutable.len);
    return result;
}

fn quotientsMatch(modulus: *const Number, signature: *const Number, q1: *const Number, q2: *const Number) callconv(.c) bool {
    return compareQuotients(modulus, signature, q1, q2) catch false;
}

fn compareQuotients(modulus: *const Number, signature: *const Number, q1: *const Number, q2: *const Number) !bool {
    var room: [32 * 1024]u8 = undefined;
    var fixed = std.heap.FixedBufferAllocator.init(&room);
    const allocator = fixed.allocator();
    const n = try integer(allocator, modulus);
    const s = try integer(allocator, signature);
    if (n.eqlZero()) return false;
    var product = try Integer.init(allocator);
    var quotient = try Integer.init(allocator);
    var remainder = try Integer.init(allocator);
    for ([_]*const Number{ q1, q2 }) |expected| {
        // First s * s, then s times the remainder of that.
        try product.mul(&s, if (expected == q1) &s else &remainder);
        try quotient.divFloor(&remainder, &product, &n);
        if (!quotient.eql(try integer(allocator, expected))) return false;
    }
    return true;
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = std.debug.no_panic;
