import Base
import Glibc
import Synchronization

/// Makes the ids that clients give to messages, in RocketMQ's format (remoting reference §1.8): upper-case hexadecimal of
///
///     size  field
///        4  IPv4 address of the client
///        2  process number, low 16 bits
///        4  a number of the process (RocketMQ: the hash of a class loader)
///        4  milliseconds since the first of the month, local time
///        2  counter
///
/// Ids of one client never repeat within a month as long as it makes fewer than 65,536 in a millisecond.
final class MessageIDGenerator: Sendable {
    private struct State {
        var counter: UInt16 = 0
        /// The month that ids count from, in ms: its beginning, and the next one's.
        var monthStart: Int64 = 0
        var monthEnd: Int64 = 0
    }
    /// The first ten bytes of every id, as digits.
    private let prefix: [UInt8]
    private let state = Mutex(State())

    init(address: UInt32, process: Int32, number: UInt32) {
        var digits: [UInt8] = []
        Self.append(UInt64(address), digits: 8, to: &digits)
        Self.append(UInt64(UInt16(truncatingIfNeeded: process)), digits: 4, to: &digits)
        Self.append(UInt64(number), digits: 8, to: &digits)
        prefix = digits
    }

    /// A new id.
    func next(at now: Timestamp) -> String {
        let (elapsed, counter) = state.withLock { state in
            if now.milliseconds >= state.monthEnd || now.milliseconds < state.monthStart {
                (state.monthStart, state.monthEnd) = Self.month(of: now)
            }
            state.counter &+= 1
            return (now.milliseconds - state.monthStart, state.counter)
        }
        var digits = prefix
        Self.append(UInt64(UInt32(truncatingIfNeeded: elapsed)), digits: 8, to: &digits)
        Self.append(UInt64(counter), digits: 4, to: &digits)
        return String(decoding: digits, as: UTF8.self)
    }

    /// The first millisecond of the month of `now` and of the next one, in local time.
    static func month(of now: Timestamp) -> (start: Int64, end: Int64) {
        var seconds = time_t(now.milliseconds / 1000)
        var parts = tm()
        localtime_r(&seconds, &parts)
        var first = tm()
        first.tm_year = parts.tm_year
        first.tm_mon = parts.tm_mon
        first.tm_mday = 1
        first.tm_isdst = -1
        var next = first
        next.tm_mon += 1
        return (Int64(mktime(&first)) * 1000, Int64(mktime(&next)) * 1000)
    }

    private static func append(_ value: UInt64, digits: Int, to text: inout [UInt8]) {
        for shift in stride(from: (digits - 1) * 4, through: 0, by: -4) {
            let nibble = UInt8(truncatingIfNeeded: (value >> UInt64(shift)) & 0xF)
            text.append(nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10)
        }
    }
}
