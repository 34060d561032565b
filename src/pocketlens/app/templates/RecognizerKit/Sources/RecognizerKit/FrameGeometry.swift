import Foundation

/// Where on the screen the camera's frame is, and which part of it the model sees.
///
/// The preview shows the whole frame, as large as the view allows, in its middle. View
/// coordinates have their origin in the upper left corner.
public struct FrameGeometry: Equatable, Sendable {
    /// The upright frame in pixels.
    public let frameSize: CGSize
    public let viewSize: CGSize

    public init(frameSize: CGSize, viewSize: CGSize) {
        self.frameSize = frameSize
        self.viewSize = viewSize
    }

    /// The frame in view coordinates; empty while one of the sizes is.
    public var frameInView: CGRect {
        guard frameSize.width > 0, frameSize.height > 0 else { return .zero }
        let scale = min(viewSize.width / frameSize.width, viewSize.height / frameSize.height)
        return Self.centred(
            CGSize(width: frameSize.width * scale, height: frameSize.height * scale),
            in: CGRect(x: 0, y: 0, width: viewSize.width, height: viewSize.height)
        )
    }

    /// What the model sees, in view coordinates: with `centerCrop` the largest centred part of the
    /// input's shape, otherwise the whole frame.
    public func seenInView(by input: InputSpec) -> CGRect {
        let frame = frameInView
        guard input.crop == .centerCrop else { return frame }
        let width = CGFloat(input.width)
        let height = CGFloat(input.height)
        let scale = min(frame.width / width, frame.height / height)
        return Self.centred(CGSize(width: width * scale, height: height * scale), in: frame)
    }

    private static func centred(_ size: CGSize, in rect: CGRect) -> CGRect {
        CGRect(
            x: rect.midX - size.width / 2,
            y: rect.midY - size.height / 2,
            width: size.width,
            height: size.height
        )
    }
}
