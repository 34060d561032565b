// Stub of the parts of UIKit that the app uses outside of its one UIView.
import Foundation
@MainActor public enum UIApplication { public static let openSettingsURLString = "" }
