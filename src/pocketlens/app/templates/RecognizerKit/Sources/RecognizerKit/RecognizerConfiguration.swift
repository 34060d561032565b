import Foundation

/// The contents of `recognizer.json`, which describes the model.
public struct RecognizerConfiguration: Codable, Equatable, Sendable {
    /// The app's name.
    public let name: String
    /// The name of the compiled model in the app's bundle, without `.mlmodelc`.
    public let model: String
    /// The class for which no label is shown; `nil` if the model has no such class.
    public let background: String?
    public let thresholds: Thresholds
    public let input: InputSpec
    /// The class names, in the order of the probabilities.
    public let classes: [String]

    public init(
        name: String,
        model: String,
        background: String?,
        thresholds: Thresholds,
        input: InputSpec,
        classes: [String]
    ) {
        self.name = name
        self.model = model
        self.background = background
        self.thresholds = thresholds
        self.input = input
        self.classes = classes
    }

    /// Decodes and validates the contents of `recognizer.json`.
    public init(json: Data) throws {
        self = try JSONDecoder().decode(RecognizerConfiguration.self, from: json)
        try validate()
    }

    private func validate() throws {
        if classes.isEmpty {
            throw ConfigurationError.noClasses
        }
        if Set(classes).count != classes.count {
            throw ConfigurationError.repeatedClass
        }
        if let background, !classes.contains(background) {
            throw ConfigurationError.unknownBackground(background)
        }
        if input.width < 1 || input.height < 1 {
            throw ConfigurationError.inputSize(width: input.width, height: input.height)
        }
        if !thresholds.areInRange {
            throw ConfigurationError.thresholds
        }
    }
}

/// When a label is shown. All except `hold` are numbers from 0 to 1.
public struct Thresholds: Codable, Equatable, Sendable {
    /// The smoothed probability that a new label must reach.
    public let show: Double
    /// Below this smoothed probability, a shown label is hidden again.
    public let keep: Double
    /// A new label is shown only if one minus the smoothed probability of the background is at
    /// least this value.
    public let present: Double
    /// The minimum difference between the two largest probabilities for a new label.
    public let margin: Double
    /// The number of consecutive frames in which a new label must meet all these conditions.
    public let hold: Int
    /// The weight of the newest frame in the running average.
    public let smoothing: Double

    public init(
        show: Double, keep: Double, present: Double, margin: Double, hold: Int, smoothing: Double
    ) {
        self.show = show
        self.keep = keep
        self.present = present
        self.margin = margin
        self.hold = hold
        self.smoothing = smoothing
    }

    /// The thresholds for a single image: without smoothing, for one frame.
    var forStills: Thresholds {
        Thresholds(
            show: show, keep: keep, present: present, margin: margin, hold: 1, smoothing: 1
        )
    }

    var areInRange: Bool {
        let range = 0.0...1.0
        return range.contains(show) && range.contains(keep) && range.contains(present)
            && range.contains(margin) && keep <= show && hold >= 1 && smoothing > 0 && smoothing <= 1
    }
}

/// The model's input. The model file itself applies `scale`, `bias` and the color order; the app
/// needs the size, the crop, and the colors of drawings.
public struct InputSpec: Codable, Equatable, Sendable {
    public let height: Int
    public let width: Int
    public let color: Color
    public let crop: Crop
    public let ink: Ink

    public init(height: Int, width: Int, color: Color, crop: Crop, ink: Ink = .dark) {
        self.height = height
        self.width = width
        self.color = color
        self.crop = crop
        self.ink = ink
    }

    public enum Color: String, Codable, Sendable {
        case gray, rgb, bgr
    }
}

extension InputSpec {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        height = try values.decode(Int.self, forKey: .height)
        width = try values.decode(Int.self, forKey: .width)
        color = try values.decode(Color.self, forKey: .color)
        crop = try values.decode(Crop.self, forKey: .crop)
        // Files written by older versions do not have this key.
        ink = try values.decodeIfPresent(Ink.self, forKey: .ink) ?? .dark
    }
}

/// The color of the lines in the images that the model was trained on.
public enum Ink: String, Codable, Sendable {
    /// Dark on light, as on paper.
    case dark
    /// Light on dark, as in MNIST.
    case light
}

/// How an image is fitted to the model's input.
public enum Crop: String, Codable, Sendable {
    /// The largest centered part with the input's aspect ratio.
    case centerCrop = "center-crop"
    /// The whole image, with black bars.
    case fit
    /// The whole image, stretched.
    case fill
}

public enum ConfigurationError: Error, Equatable {
    case noClasses
    case repeatedClass
    case unknownBackground(String)
    case inputSize(width: Int, height: Int)
    case thresholds
}

extension ConfigurationError: LocalizedError {
    public var errorDescription: String? {
        switch self {
        case .noClasses:
            "recognizer.json has no classes."
        case .repeatedClass:
            "recognizer.json has a duplicate class."
        case .unknownBackground(let name):
            "The background \(name) is not one of the classes in recognizer.json."
        case .inputSize(let width, let height):
            "The input size \(width) × \(height) in recognizer.json is not valid."
        case .thresholds:
            "The thresholds in recognizer.json are out of range."
        }
    }
}
