// GoCV includes OpenCV's catch-all header, and the distribution's one asks for every module that the
// distribution has built: some fifty packages more. This one, found first, asks for the modules that
// linectl links.
#ifndef LINECTL_OPENCV_HPP
#define LINECTL_OPENCV_HPP
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>
#endif
