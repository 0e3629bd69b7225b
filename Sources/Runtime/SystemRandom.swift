import Base
import CLibuv

/// Random numbers from the kernel, fetched 512 bytes at a time. Good enough for secrets.
public final class SystemRandom: RandomSource {
    private var numbers = [UInt64](repeating: 0, count: 64)
    private var unused = 0

    public init() {}

    public func next() -> UInt64 {
        if unused == 0 { refill() }
        unused -= 1
        let number = numbers[unused]
        numbers[unused] = 0
        return number
    }

    private func refill() {
        numbers.withUnsafeMutableBytes { bytes in
            var filled = 0
            while filled < bytes.count {
                let result = apus_getrandom(bytes.baseAddress.map { $0 + filled }, bytes.count - filled)
                // Interrupted by a signal (EINTR); no other error is possible with these arguments.
                if result > 0 { filled += result }
            }
        }
        unused = numbers.count
    }
}
