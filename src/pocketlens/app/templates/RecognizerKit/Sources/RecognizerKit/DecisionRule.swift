/// Decides for each frame which label is shown, so that it does not flicker.
///
/// A new label needs a high probability, a clear margin and a low probability of the background, in
/// several consecutive frames. A shown label stays while its probability is above a lower
/// threshold. The background class is never shown.
public struct DecisionRule: Sendable {
    /// The index of a class and its smoothed probability.
    public struct Decision: Equatable, Sendable {
        public let index: Int
        public let confidence: Double

        public init(index: Int, confidence: Double) {
            self.index = index
            self.confidence = confidence
        }
    }

    private let thresholds: Thresholds
    private let background: Int?
    private var shown: Int?
    private var candidate: Int?
    private var frames = 0

    public init(thresholds: Thresholds, background: Int?) {
        self.thresholds = thresholds
        self.background = background
    }

    /// Processes one frame's smoothed probabilities; returns the class to show now, or `nil`.
    public mutating func decide(_ probabilities: [Double]) -> Decision? {
        count(clearWinner(of: probabilities))
        if let candidate, frames >= thresholds.hold {
            shown = candidate
        }
        if let current = shown,
            !probabilities.indices.contains(current) || probabilities[current] < thresholds.keep
        {
            shown = nil
        }
        return shown.map { Decision(index: $0, confidence: probabilities[$0]) }
    }

    /// Forgets the shown label and the counted frames.
    public mutating func reset() {
        shown = nil
        count(nil)
    }

    private mutating func count(_ winner: Int?) {
        frames = winner == nil ? 0 : (winner == candidate ? frames + 1 : 1)
        candidate = winner
    }

    private func clearWinner(of probabilities: [Double]) -> Int? {
        guard let best = probabilities.indices.max(by: { probabilities[$0] < probabilities[$1] })
        else { return nil }
        let second = probabilities.indices.lazy
            .filter { $0 != best }
            .map { probabilities[$0] }
            .max() ?? 0
        let first = probabilities[best]
        let present = background.map { 1 - probabilities[$0] } ?? 1
        guard best != background, first >= thresholds.show, first - second >= thresholds.margin,
            present >= thresholds.present
        else { return nil }
        return best
    }
}
