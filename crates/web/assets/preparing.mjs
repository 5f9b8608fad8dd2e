// The preparation screen goes on by itself, and "back" does not lead into it again.

setTimeout(() => location.replace(document.getElementById("main").dataset.onward), 1200);
