import Glibc

// The entry points of libFuzzer. Compiled by Scripts/fuzz.sh together with Tests/FuzzTests/Targets.

// SAFETY: libFuzzer calls from one thread, and only reads it after LLVMFuzzerInitialize has set it.
nonisolated(unsafe) private var target: FuzzTarget?

@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ words: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>>>
) -> Int32 {
    guard let name = getenv("APUS_FUZZ_TARGET").map({ String(cString: $0) }) else {
        fatalError("APUS_FUZZ_TARGET names no target")
    }
    guard let found = FuzzTarget.named(name) else { fatalError("there is no target \(name)") }
    target = found
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    target?.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
    return 0
}
