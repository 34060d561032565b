/// A label to show, with its confidence.
public struct StableLabel: Equatable, Sendable {
    public let label: String
    /// The smoothed probability, from 0 to 1.
    public let confidence: Double

    public init(label: String, confidence: Double) {
        self.label = label
        self.confidence = confidence
    }
}

/// Turns each frame's labels into the label to show: label map, then smoother, then decision rule.
public struct RecognitionTracker: Sendable {
    private let map: LabelMap
    private var smoother: ProbabilitySmoother
    private var rule: DecisionRule

    public init(configuration: RecognizerConfiguration) {
        map = LabelMap(classes: configuration.classes)
        smoother = ProbabilitySmoother(weight: configuration.thresholds.smoothing)
        rule = DecisionRule(
            thresholds: configuration.thresholds,
            background: configuration.background.flatMap(map.index(of:))
        )
    }

    /// Processes the model's output for one frame; returns the label to show now, or `nil`.
    public mutating func add(
        _ labels: some Sequence<(label: String, probability: Double)>
    ) throws -> StableLabel? {
        let smoothed = smoother.add(try map.probabilities(of: labels))
        return rule.decide(smoothed).map {
            StableLabel(label: map.classes[$0.index], confidence: $0.confidence)
        }
    }

    /// The classes with the largest smoothed probabilities, most probable first.
    public var ranking: [StableLabel] {
        map.ranking(of: smoother.average)
    }

    /// Forgets all frames, for example after a pause.
    public mutating func reset() {
        smoother.reset()
        rule.reset()
    }
}
