import Base

/// What a start does with the place where the scan of the log ended.
///
/// | what stands there | beyond the flushed checkpoint | records behind it | decision |
/// |---|---|---|---|
/// | nothing | yes | no | the log ends here |
/// | nothing | yes | yes | a hole that a power cut left: cut here |
/// | nothing | no | – | corruption: something that was on the medium is gone |
/// | damage | yes | – | a torn write: cut here |
/// | damage | no | – | corruption: reported, nothing is cut |
///
/// "Records behind it" counts later segments that begin with a whole record; they can only be writes that were never
/// flushed, since what was flushed lies before the checkpoint.
enum RecoveryDecision: Equatable {
    case endsHere
    case cutHere
    case corrupt(reason: String)

    static func decide(
        finding: LogScanner.Finding, isBeyondFlushed: Bool, hasRecordsBehind: Bool
    ) -> RecoveryDecision {
        switch (finding, isBeyondFlushed, hasRecordsBehind) {
        case (.nothing, true, false): .endsHere
        case (.nothing, true, true): .cutHere
        case (.nothing, false, _): .corrupt(reason: "bytes that were flushed are gone")
        case (.damaged, true, _): .cutHere
        case (.damaged(let reason), false, _): .corrupt(reason: reason)
        case (.record, _, _), (.blank, _, _): preconditionFailure("the scan goes on over whole records")
        }
    }
}
